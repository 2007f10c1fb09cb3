package testensemble

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below Linux's ephemeral range: a server that is restarted
// minutes later must not find its port in use by somebody's outgoing connection.
const (
	lowestPort  = 12000
	highestPort = 31999
)

const host = "127.0.0.1"

// freePorts returns n ports on loopback that were free a moment ago, all different.
func freePorts(n int) ([]int, error) {
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		if tries > 100*n {
			return nil, fmt.Errorf("found %d of %d free ports between %d and %d", len(ports), n, lowestPort, highestPort)
		}
		port := lowestPort + rand.IntN(highestPort-lowestPort+1)
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		defer l.Close() // held until all are found, so that none is found twice
		ports = append(ports, port)
	}
	return ports, nil
}
