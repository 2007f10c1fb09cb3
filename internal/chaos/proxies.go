package chaos

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/perennial-io/perennial/internal/localcluster"
	"github.com/perennial-io/perennial/internal/testensemble"
	"github.com/perennial-io/perennial/internal/testproxy"
)

// proxies lie before each JobManager's two ports, and between each process and each ZooKeeper server.
//
// A JobManager listens at an address of loopback and is known by another, at which, on the same ports, its proxies are. Raft's
// port is that of no proxy: a member listens where the others know it.
type proxies struct {
	rpc, api     testproxy.All            // of each JobManager
	coordination map[string]testproxy.All // by the name of the process; empty with the embedded quorum
}

// rpcPort is that of each JobManager, at an address of its own.
const rpcPort = "6123"

func behind(i int) string  { return fmt.Sprintf("127.0.1.%d", i+1) }
func inFront(i int) string { return fmt.Sprintf("127.0.2.%d", i+1) }

// place adds to a process's place what it is to know of proxies.
func (p *proxies) place(place *localcluster.Place, role string, i int, e *testensemble.Ensemble) error {
	if role == localcluster.JobManager {
		place.Address, place.Bind, place.RPC = inFront(i), behind(i), rpcPort
	}
	if e == nil {
		return nil
	}
	var quorum []string
	name := processName(role, i)
	for _, server := range e.Servers {
		one, err := testproxy.New("127.0.0.1:0", server.Addr)
		if err != nil {
			return err
		}
		if p.coordination == nil {
			p.coordination = map[string]testproxy.All{}
		}
		p.coordination[name] = append(p.coordination[name], one)
		quorum = append(quorum, one.Addr())
	}
	place.Own["zookeeper.quorum"] = strings.Join(quorum, ",")
	return nil
}

// before puts proxies before the JobManagers of a cluster, by their REST addresses.
func (p *proxies) before(rest []string) error {
	for i, address := range rest {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		rpc, err := testproxy.New(net.JoinHostPort(inFront(i), rpcPort), net.JoinHostPort(behind(i), rpcPort))
		if err != nil {
			return err
		}
		p.rpc = append(p.rpc, rpc)
		api, err := testproxy.New(address, net.JoinHostPort(behind(i), port))
		if err != nil {
			return err
		}
		p.api = append(p.api, api)
	}
	return nil
}

func (p *proxies) close() error {
	err := errors.Join(p.rpc.Close(), p.api.Close())
	for _, all := range p.coordination {
		err = errors.Join(err, all.Close())
	}
	return err
}
