package zksession

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"
)

// wordPatience is how long a server may take to answer a question about itself.
const wordPatience = 2 * time.Second

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// ErrUnreachable is a question that could not be put.
var ErrUnreachable = errors.New("not reached")

// Word asks one server, host:port, something about itself by a four-letter word such as srvr, over a
// connection of its own, as cfg says how connections are made. It needs no session and no quorum; many servers
// allow few words.
func Word(ctx context.Context, cfg Config, server, word string) (string, error) {
	cfg.Servers = []string{server}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return "", err
	}
	d := newDialer(cfg)
	addresses, err := d.addresses(ctx, server, wordPatience)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	deadline := time.Now().Add(wordPatience)
	conn, err := d.connect(ctx, server, addresses[rand.IntN(len(addresses))], deadline)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnreachable, err)
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
