package launch_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-io/perennial/internal/testensemble"
)

// certificate makes one for this host, which signs itself: its file, that of its key, and both in one, as ZooKeeper reads them.
func certificate(t *testing.T, dir string) (cert, key, both string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certText := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})
	keyText := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	cert, key, both = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "both.pem")
	for path, text := range map[string][]byte{cert: certText, key: keyText, both: bytes.Join([][]byte{keyText, certText}, nil)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, both
}

// TestManagedZooKeeperWithTLS: as docs/operations.md tells it. Clients speak TLS to a server that wants certificates of them, and
// servers speak TLS to one another.
func TestManagedZooKeeperWithTLS(t *testing.T) {
	u := newUser(t, os.Getuid())
	cert, key, both := certificate(t, u.Dir)
	p := ports(t, 12)
	start := func(t *testing.T, servers int) {
		t.Helper()
		r := u.types("start-zookeeper-quorum.sh")
		if strings.Contains(r.Stderr, "needs Java") || strings.Contains(r.Stderr, "there is no ZooKeeper") {
			t.Fatalf("%v: %s", testensemble.ErrNotInstalled, r.Stderr) // make zookeeper installs it
		}
		r.expect(t, 0)
		eventually(t, func() error {
			if r := u.types("zookeeper.sh", "status"); strings.Count(r.Stdout, "leader;")+strings.Count(r.Stdout, "follower;")+strings.Count(r.Stdout, "standalone;") != servers {
				return fmt.Errorf("%s%s", r.Stdout, r.Stderr)
			}
			return nil
		})
	}
	t.Run("clients", func(t *testing.T) {
		u.configured(map[string]string{
			"zoo.cfg": fmt.Sprintf("tickTime=500\nserverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\nsecureClientPort=%d\n"+
				"ssl.keyStore.location=%s\nssl.trustStore.location=%s\nssl.clientAuth=need\nserver.1=localhost:%d:%d;127.0.0.1:%d\n", p[0], both, cert, p[1], p[2], p[3]),
			"perennial.yaml": fmt.Sprintf("zookeeper.quorum: localhost:%d\nzookeeper.tls.enabled: true\nzookeeper.tls.ca: %s\nzookeeper.tls.certificate: %s\nzookeeper.tls.key: %s\nrest.port: %d\n",
				p[0], cert, cert, key, p[4]),
		})
		start(t, 1)
		u.types("jobmanager.sh", "start").expect(t, 0, "is started as process")
		u.types("perennial", "zookeeper", "check", "-D", "zookeeper.acl=creator").expect(t, 3, fmt.Sprintf("localhost:%d", p[0]), "standalone", "leads")
		u.types("jobmanager.sh", "stop").expect(t, 0)
		u.types("stop-zookeeper-quorum.sh").expect(t, 0)
	})
	t.Run("servers", func(t *testing.T) {
		zoo := fmt.Sprintf("tickTime=500\nsslQuorum=true\nssl.quorum.keyStore.location=%s\nssl.quorum.trustStore.location=%s\ndataDir=%s\n", both, cert, filepath.Join(u.Dir, "three"))
		for i := range 3 {
			zoo += fmt.Sprintf("server.%d=localhost:%d:%d;%d\n", i+1, p[3*i], p[3*i+1], p[3*i+2])
		}
		u.configured(map[string]string{"zoo.cfg": zoo, "perennial.yaml": ""})
		start(t, 3)
		u.types("perennial", "zookeeper", "check", "-D", fmt.Sprintf("zookeeper.quorum=localhost:%d,localhost:%d,localhost:%d", p[2], p[5], p[8])).expect(t, 0, "leader", "follower")
		u.types("stop-zookeeper-quorum.sh").expect(t, 0)
	})
}
