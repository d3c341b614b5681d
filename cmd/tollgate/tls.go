package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
)

const (
	certificateLook  = time.Second     // how often the files are looked at
	handshakeTimeout = 5 * time.Second // as that of the HTTP services; grpc-go gives a stranger two minutes
)

// certificates are those of one listener: what its files held when they were last
// in order. A connection needs them for its handshake alone, so that new ones end
// none. A nil one belongs to a listener without TLS.
type certificates struct {
	listener  string // check or http
	files     config.TLS
	protocols []string // for ALPN
	log       *slog.Logger
	now       func() time.Time

	inForce atomic.Pointer[inForce]

	mu      sync.Mutex // one look at a time; guards what follows
	sum     [sha256.Size]byte
	refused string // why the files were not taken at the last look; "": they were
	said    bool   // the log has it
}

// inForce is what a handshake goes by: it takes own certificate and authorities of
// one reading.
type inForce struct {
	config *tls.Config
	leaf   *x509.Certificate
}

func newCertificates(listener string, files config.TLS, log *slog.Logger, now func() time.Time, protocols ...string) (*certificates, error) {
	c := &certificates{listener: listener, files: files, protocols: protocols, log: log.With("listener", listener), now: now}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.readLocked(); err != nil {
		return nil, fmt.Errorf("listen.%s_tls.%w", listener, err)
	}
	return c, nil
}

// readLocked puts what the files hold in force, unless it is already.
func (c *certificates) readLocked() (changed bool, err error) {
	read, err := c.files.Read()
	if err != nil {
		return false, err
	}
	sum := read.Sum()
	if sum == c.sum {
		return false, nil
	}
	held, err := read.Parse()
	if err != nil {
		return false, err
	}
	c.sum = sum
	c.inForce.Store(&inForce{c.newConfig(held), held.Own.Leaf})
	c.log.Info("certificate in force", "subject", held.Own.Leaf.Subject.String(), "names", held.Own.Leaf.DNSNames,
		"not_after", held.Own.Leaf.NotAfter, "clients_verified", held.ClientCAs != nil)
	if fault := config.Validity(held.Own.Leaf, c.now()); fault != "" {
		c.log.Warn("clients that verify the certificate will not connect", "cause", fault)
	}
	return true, nil
}

func (c *certificates) newConfig(held *config.Certificates) *tls.Config {
	t := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{held.Own}, NextProtos: c.protocols, Time: c.now}
	if held.ClientCAs != nil {
		// A client that resumes a session is held to these authorities too.
		t.ClientAuth, t.ClientCAs = tls.RequireAndVerifyClientCert, held.ClientCAs
	}
	return t
}

// serverConfig is for a server: every handshake takes what is in force then.
func (c *certificates) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: c.protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.inForce.Load().config, nil },
	}
}

// grpcOptions make a gRPC server speak TLS, if the listener does.
func (c *certificates) grpcOptions() []grpc.ServerOption {
	if c == nil {
		return nil
	}
	return []grpc.ServerOption{
		grpc.Creds(loggedHandshakes{credentials.NewTLS(c.serverConfig()), c.log}),
		grpc.ConnectionTimeout(handshakeTimeout),
	}
}

// loggedHandshakes tells of callers that were turned away; grpc-go keeps it to
// itself. It does at debug, as the HTTP services do: strangers can fill a log.
type loggedHandshakes struct {
	credentials.TransportCredentials
	log *slog.Logger
}

func (l loggedHandshakes) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := l.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		l.log.Debug("TLS handshake failed", "peer", raw.RemoteAddr().String(), "error", err)
	}
	return conn, info, err
}

// look takes over what the files hold now. They are compared by content: secrets of
// Kubernetes are replaced behind symbolic links. What is not in order leaves the
// certificates before in force and is logged once: at the second look that meets
// it, since certificate and key do not fit while they are being replaced one after
// the other, and at once when somebody asked for the look.
func (c *certificates) look(asked bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	changed, err := c.readLocked()
	if err == nil {
		if c.said && !changed {
			c.log.Info("the certificate files are again those in force")
		}
		c.refused, c.said = "", false
		return
	}
	if again := c.refused == err.Error(); !again {
		c.refused, c.said = err.Error(), false
		if !asked {
			return
		}
	}
	if asked || !c.said {
		c.said = true
		c.log.Error("the certificate files were not read again; the certificate before stays in force", "error", err, "not_after", c.inForce.Load().leaf.NotAfter)
	}
}

// openCertificates reads the certificates of the listeners that have some.
func (n *node) openCertificates(l config.Listen, r prometheus.Registerer) (err error) {
	if n.checkTLS, err = n.openCertificate("check", l.CheckTLS, r, "h2"); err != nil {
		return err
	}
	n.httpTLS, err = n.openCertificate("http", l.HTTPTLS, r, "h2", "http/1.1")
	return err
}

func (n *node) openCertificate(listener string, files *config.TLS, r prometheus.Registerer, protocols ...string) (*certificates, error) {
	if files == nil {
		return nil, nil
	}
	c, err := newCertificates(listener, *files, n.log, n.now, protocols...)
	if err != nil {
		return nil, err
	}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tollgate_certificate_expiry_seconds", Help: "When the certificate of a listener expires, in seconds since 1970.",
		ConstLabels: prometheus.Labels{"listener": listener},
	}, func() float64 { return float64(c.inForce.Load().leaf.NotAfter.Unix()) }))
	return c, nil
}

// serveHTTP serves listen.http, with TLS if it has a certificate.
func (n *node) serveHTTP(l net.Listener) error {
	if n.httpTLS == nil {
		return n.http.Serve(l)
	}
	n.http.TLSConfig = n.httpTLS.serverConfig()
	return n.http.ServeTLS(l, "", "")
}

// followCertificates looks at the files until ctx ends.
func (n *node) followCertificates(ctx context.Context) {
	if n.checkTLS == nil && n.httpTLS == nil {
		return
	}
	tick := time.NewTicker(certificateLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n.lookAtCertificates(false)
		}
	}
}

func (n *node) lookAtCertificates(asked bool) {
	n.checkTLS.look(asked)
	n.httpTLS.look(asked)
}
