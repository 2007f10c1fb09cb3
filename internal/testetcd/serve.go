package testetcd

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"

	"go.etcd.io/etcd/server/v3/embed"
)

const (
	environment = "PERENNIAL_TEST_ETCD" // a member, as JSON
	ready       = "serving\n"           // what a server writes to stdout once
)

// Serve does nothing in a process that Start did not start. In one that it did, it is the
// etcd server, and exits when its standard input ends.
func Serve() {
	told := os.Getenv(environment)
	if told == "" {
		return
	}
	if err := serve(told); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(told string) error {
	var m member
	if err := json.Unmarshal([]byte(told), &m); err != nil {
		return fmt.Errorf("%s=%q: %w", environment, told, err)
	}
	parentGone := make(chan struct{})
	go func() {
		defer close(parentGone)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	e, err := embed.StartEtcd(m.config())
	if err != nil {
		return err
	}
	select {
	case <-e.Server.ReadyNotify():
		fmt.Print(ready)
	case <-parentGone:
		return nil
	}
	select {
	case err = <-e.Err():
	case <-parentGone:
	}
	return err
}

func (m member) config() *embed.Config {
	client, peer := url.URL{Scheme: "http", Host: m.Client}, url.URL{Scheme: "http", Host: m.Peer}
	e := embed.NewConfig()
	e.Name, e.Dir, e.InitialCluster = m.Name, m.Dir, m.Cluster
	e.ListenClientUrls, e.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	e.ListenPeerUrls, e.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	e.TickMs, e.ElectionMs = 50, 500
	e.LogLevel, e.LogOutputs = "error", []string{"stderr"}
	return e
}
