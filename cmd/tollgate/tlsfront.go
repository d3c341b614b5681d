package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/envoy"
)

// frontTLS is how Envoy connects to listeners that have a certificate. Both belong
// to one process: one authority, one name and one certificate of Envoy's own do.
type frontTLS struct{ ca, name, cert, key string }

func (t *frontTLS) addFlags(c *cobra.Command) {
	c.Flags().StringVar(&t.ca, "tls-ca", "", "`FILE` with the authorities of tollgate's certificate, where Envoy has it; needed with check_tls or http_tls")
	c.Flags().StringVar(&t.name, "tls-name", "", "`NAME` that tollgate's certificate has to hold (default: the host that Envoy connects to)")
	c.Flags().StringVar(&t.cert, "tls-cert", "", "`FILE` with Envoy's own certificate, where Envoy has it; needed with client_ca")
	c.Flags().StringVar(&t.key, "tls-key", "", "`FILE` with its private key")
}

// apply lets the front speak TLS where the listeners do. It asks for what Envoy
// needs instead of guessing it: certificates that nobody verifies protect nothing.
func (t frontTLS) apply(f *envoy.Front, l *config.Listen) error {
	var faults []error
	for _, side := range []struct {
		key   string
		files *config.TLS
		used  bool
		into  **envoy.TLS
	}{
		{"listen.check_tls", l.CheckTLS, true, &f.CheckTLS},
		{"listen.http_tls", l.HTTPTLS, f.TokenEndpoint != "", &f.TokenEndpointTLS},
	} {
		if side.files == nil || !side.used {
			continue
		}
		*side.into = &envoy.TLS{CA: t.ca, Name: t.name, Cert: t.cert, Key: t.key}
		if t.ca == "" {
			faults = append(faults, fmt.Errorf("%s is set: name the file with the authorities of its certificate with --tls-ca (of one that signed itself: the certificate), as Envoy finds it", side.key))
		}
		if side.files.ClientCA != "" && t.cert == "" {
			faults = append(faults, fmt.Errorf("%s.client_ca asks Envoy for a certificate: name it with --tls-cert and --tls-key, as Envoy finds them", side.key))
		}
	}
	switch {
	case (t.cert == "") != (t.key == ""):
		faults = append(faults, errors.New("--tls-cert and --tls-key go together: name both or neither"))
	case t != (frontTLS{}) && f.CheckTLS == nil && f.TokenEndpointTLS == nil:
		faults = append(faults, errors.New("--tls-… is for listeners with a certificate, and Envoy connects to none: set listen.check_tls, or listen.http_tls with --with-token-endpoint"))
	}
	if len(faults) > 0 {
		return usageError{errors.Join(faults...)}
	}
	return nil
}
