package zookeeper

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// TLS is how connections are encrypted. Its files are PEM, and are read for each connection, so
// that they can be renewed.
type TLS struct {
	CA          string // certificates to trust; "": the system's
	Certificate string // of this client, for an ensemble that asks for one; "": none
	Key         string // of the certificate
	ServerName  string // that servers' certificates are for; "": the name that is dialed
	AnyName     bool   // what the CA has signed is trusted, whoever it is for
}

// tlsError is a connection that failed in TLS, for a reason that does not pass by itself. It hides
// what it is made of: a lost connection is tried again, and this is none.
type tlsError struct {
	server string
	err    error
}

func (e *tlsError) Error() string {
	text := fmt.Sprintf("TLS with %s: %v", e.server, e.err)
	if hint := e.hint(); hint != "" {
		text += ": " + hint
	}
	return text
}

func (e *tlsError) hint() string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var noTLS tls.RecordHeaderError
	switch {
	case errors.As(e.err, &unknown):
		return "zookeeper.tls.ca is not the CA that has signed the server's certificate"
	case errors.As(e.err, &name):
		return "if it is the right server, set zookeeper.tls.server-name to a name in its certificate, or zookeeper.tls.check-names to false"
	case errors.As(e.err, &noTLS):
		return "what answers does not speak TLS: ZooKeeper has a port of its own for it (secureClientPort)"
	case isAlert(e.err):
		return "the server does not accept this client: zookeeper.tls.certificate is missing, has expired, or was signed by a CA that it does not trust"
	}
	return ""
}

// isAlert reports whether the other side has ended TLS and said why.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// client speaks TLS over a connection to the server with this name.
func (t *TLS) client(ctx context.Context, raw net.Conn, server, host string) (net.Conn, error) {
	cfg, err := t.config(host)
	if err != nil {
		return nil, &tlsError{server, err}
	}
	conn := tls.Client(raw, cfg)
	err = conn.HandshakeContext(ctx)
	var network *net.OpError
	switch {
	case err == nil:
		return conn, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("TLS with %s: the server has hung up: is this its port for TLS (secureClientPort)? %w", server, err)
	case ctx.Err() != nil, errors.As(err, &network) && !isAlert(err):
		return nil, fmt.Errorf("TLS with %s: %w", server, err)
	}
	return nil, &tlsError{server, err}
}

func (t *TLS) config(host string) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: or(t.ServerName, host), MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", t.CA)
		}
	}
	if t.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate %s and key %q: %w", t.Certificate, t.Key, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	if t.AnyName {
		cfg.InsecureSkipVerify = true // and verified here, but for the name
		cfg.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(state, cfg.RootCAs) }
	}
	return cfg, nil
}

func verifyChain(state tls.ConnectionState, roots *x509.CertPool) error {
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	return err
}
