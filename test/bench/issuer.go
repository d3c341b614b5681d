package main

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tollgate-authz/tollgate/tokens"
)

// issuer signs the tokens of the foreign issuer.
type issuer struct {
	*tokens.Issuer
	keySet []byte
}

func newIssuer() (*issuer, error) {
	key, err := tokens.NewSigningKey("ES256", rand.Reader, now())
	if err != nil {
		return nil, err
	}
	i := &issuer{}
	if i.keySet, err = tokens.KeySetDocument([]*tokens.SigningKey{key}); err != nil {
		return nil, err
	}
	i.Issuer, err = tokens.NewIssuer(foreignIssuer, key, rand.Reader)
	return i, err
}

// sign makes n different tokens that outlive the benchmark.
func (i *issuer) sign(n int) ([]string, error) {
	list := make([]string, n)
	var group errgroup.Group
	cores := runtime.GOMAXPROCS(0)
	for core := range cores {
		group.Go(func() error {
			for k := core; k < n; k += cores {
				t, err := i.Issue(tokens.Claims{Client: foreignClient, Audience: foreignAudience, Scopes: []string{callScope}, Generation: 1, IssuedAt: now(), TTL: time.Hour})
				if err != nil {
					return fmt.Errorf("sign token %d: %w", k, err)
				}
				list[k] = t.Bearer.Reveal()
			}
			return nil
		})
	}
	return list, group.Wait()
}
