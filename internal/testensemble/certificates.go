package testensemble

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority signs certificates, whose files are in dir.
type Authority struct {
	t    TB
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	File string // its own certificate
}

// NewAuthority makes one for a test.
func NewAuthority(t TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.key = a.newKey()
	a.cert = a.sign(template, a.key, a.key, nil)
	a.File = a.write("ca.pem", "CERTIFICATE", a.cert.Raw)
	return a
}

func (a *Authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func (a *Authority) sign(template *x509.Certificate, key, by *ecdsa.PrivateKey, parent *x509.Certificate) *x509.Certificate {
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

func (a *Authority) write(name, kind string, der []byte) string {
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// Issue makes a certificate for name, which is also one for the loopback addresses if here is so.
func (a *Authority) Issue(name string, here bool) (cert, key string) {
	return a.issue(name, here, time.Time{})
}

// IssueExpired is Issue of one whose time was over a minute ago.
func (a *Authority) IssueExpired(name string, here bool) (cert, key string) {
	return a.issue(name, here, time.Now().Add(-time.Minute))
}

func (a *Authority) issue(name string, here bool, until time.Time) (cert, key string) {
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, NotAfter: until, DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if here {
		template.DNSNames = append(template.DNSNames, "localhost")
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	private := a.newKey()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	signed := a.sign(template, private, a.key, a.cert)
	return a.write(name+".pem", "CERTIFICATE", signed.Raw), a.write(name+"-key.pem", "PRIVATE KEY", der)
}

// KeyStore is a certificate and its key in one file, as ZooKeeper's servers read them.
func (a *Authority) KeyStore(cert, key string) string {
	var both [][]byte
	for _, file := range []string{key, cert} {
		text, err := os.ReadFile(file)
		if err != nil {
			a.t.Fatal(err)
		}
		both = append(both, text)
	}
	path := filepath.Join(a.dir, "keystore.pem")
	if err := os.WriteFile(path, bytes.Join(both, nil), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// Config is for a proxy's own ends.
func (a *Authority) Config(cert, key string) *tls.Config {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
}
