package testhosts

import (
	"context"
	"errors"
)

// nobody is the hardware address of no host.
const nobody = "02:00:00:00:00:01"

// Lose has everything be lost that this host sends to another; what the other sends arrives. Nobody is told: to the
// sender it looks like a wire that is cut behind it.
func (one *Host) Lose(to *Host) error {
	return one.neighbour("replace", to, "lladdr", nobody, "nud", "permanent")
}

// Find undoes Lose.
func (one *Host) Find(to *Host) error { return one.neighbour("del", to) }

func (one *Host) neighbour(do string, to *Host, more ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return ip(ctx, append([]string{"-n", one.all.namespace(one.number), "neigh", do, to.Address, "dev", "eth0"}, more...)...)
}

// Part has everything be lost between two hosts, in both directions; both reach all others.
func Part(a, b *Host) error { return errors.Join(a.Lose(b), b.Lose(a)) }

// Meet undoes Part.
func Meet(a, b *Host) error { return errors.Join(a.Find(b), b.Find(a)) }

// own is the address of the process that made the hosts, once it is attached.
const own = "10.77.0.254"

// Attach lays a cable from this process's network to the hosts' switch, until they are closed: the process reaches the
// hosts, and they reach it. It is for a process whose network is its own (Alone).
func (h *Hosts) Attach(ctx context.Context) error {
	hub := h.namespace(0)
	for _, args := range [][]string{
		{"link", "add", h.id, "type", "veth", "peer", "name", "maker", "netns", hub},
		{"-n", hub, "link", "set", "maker", "master", "hub", "up"},
		{"addr", "add", own + "/24", "dev", h.id},
		{"link", "set", h.id, "up"},
	} {
		if err := ip(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
