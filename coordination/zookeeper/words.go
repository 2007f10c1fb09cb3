package zookeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// wordPatience is how long a server may take to answer a question about itself.
const wordPatience = 2 * time.Second

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// ask asks the server about itself, and notes what it does not tell.
func (r *ServerReport) ask(ctx context.Context, d *dialer, adminPort int) {
	for _, q := range []struct {
		word string
		read func(answer string)
	}{{"srvr", r.readSrvr}, {"conf", r.readConf}} {
		answer, err := d.word(ctx, r.Server, q.word)
		switch {
		case errors.Is(err, errUnreachable):
			r.NotTold = append(r.NotTold, err.Error())
			return
		case err != nil:
			r.NotTold = append(r.NotTold, fmt.Sprintf("%s: %v", q.word, err))
		default:
			q.read(answer)
		}
	}
	if adminPort == 0 {
		return
	}
	host, _, err := net.SplitHostPort(r.Server)
	if err == nil {
		err = r.askAdmin(ctx, "http://"+net.JoinHostPort(host, strconv.Itoa(adminPort))+"/commands/")
	}
	if err != nil {
		r.NotTold = append(r.NotTold, fmt.Sprintf("admin server, port %d: %v", adminPort, err))
	}
}

// errUnreachable is a question that could not be put.
var errUnreachable = errors.New("anything: it is not reached")

// word sends a four-letter word over a connection of its own.
func (d *dialer) word(ctx context.Context, server, word string) (string, error) {
	conn, deadline, err := d.dial(ctx, server, wordPatience)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errUnreachable, err)
	}
	defer conn.Close()
	conn.SetDeadline(deadline)
	if _, err := io.WriteString(conn, word); err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	answer := string(data)
	switch {
	case strings.Contains(answer, "not in the whitelist"):
		return "", errors.New("the server does not allow it (4lw.commands.whitelist)")
	case strings.Contains(answer, "not currently serving"):
		return "", errors.New("the server serves nobody just now: it has no quorum")
	case answer == "" && err == nil:
		return "", errors.New("the server says nothing")
	case answer == "":
		return "", err
	}
	return answer, nil // how the connection ended does not matter
}

func (r *ServerReport) readSrvr(answer string) {
	for line := range strings.Lines(answer) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Zookeeper version":
			r.Version, _, _ = strings.Cut(value, ",")
			r.Version, _, _ = strings.Cut(r.Version, "-")
		case "Mode":
			r.Mode = value
		}
	}
}

func (r *ServerReport) readConf(answer string) {
	for line := range strings.Lines(answer) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil:
		case key == "tickTime":
			r.TickMillis = n
		case key == "syncLimit":
			r.SyncLimit = n
		}
	}
}

// askAdmin asks the server's admin server, which knows what no four-letter word tells.
func (r *ServerReport) askAdmin(ctx context.Context, commands string) error {
	var properties map[string]any
	if err := fetch(ctx, commands+"system_properties", &properties); err != nil {
		return err
	}
	if _, ok := properties["java.version"]; !ok {
		return errors.New("what answers is none of ZooKeeper's")
	}
	r.ForceSync, r.SkipACL = "yes", "no" // unless something else was set
	for key, into := range map[string]*string{"zookeeper.forceSync": &r.ForceSync, "zookeeper.skipACL": &r.SkipACL} {
		if v, ok := properties[key].(string); ok {
			*into = v
		}
	}
	var configuration struct {
		Tick int64 `json:"tick_time"`
		Sync int64 `json:"sync_limit"`
	}
	if err := fetch(ctx, commands+"configuration", &configuration); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	r.TickMillis, r.SyncLimit = or(r.TickMillis, configuration.Tick), or(r.SyncLimit, configuration.Sync)
	return nil
}

// admin asks admin servers: straight, as sessions go, whatever proxy the environment names.
var admin = http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func fetch(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, wordPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := admin.Do(req)
	if err != nil {
		return errors.Unwrap(err) // the URL is told already
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("it answers no JSON: %w", err)
	}
	return nil
}
