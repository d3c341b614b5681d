// Package oauthclients runs OAuth clients that other people wrote against the
// tollgate binary, as the users of those libraries would: golang.org/x/oauth2
// here, Authlib and requests-oauthlib in python/, oauth4webapi and openid-client
// in node/. The tokens they get are used through a real Envoy. What the libraries
// themselves do is theirs; what tollgate answers in detail is checked in
// tokens/endpoint and test/e2e.
package oauthclients

import (
	"os"
	"testing"

	"github.com/tollgate-authz/tollgate/test/outside"
)

func TestMain(m *testing.M) {
	os.Exit(outside.Run(m))
}
