package endpoint

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// TestWhatOthersStoredIsKnown, before the next poll of the registry: nobody is told
// that a client, a secret or a token that was made a moment ago is unknown.
func TestWhatOthersStoredIsKnown(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	here, there := newProcess(t, path, unlimited), newProcess(t, path, unlimited)
	made := there.caller("app", formatted(tokens.Opaque))
	c := caller{here, made.id, made.secret}
	c.token()
	secret, err := tokens.NewSecret(tokens.JWT, rand.Reader)
	here.must(err)
	_, err = there.db.AddSecret(t.Context(), made.id, there.pepper.Hash(secret), time.Time{})
	here.must(err)
	c.secret = secret
	c.token()
	issued := made.token()
	c.wantActive(true, issued.fields.AccessToken)
	again := made.token()
	c.revoked(again.fields.AccessToken)
	there.follow()
	there.wantLive(false, again)
	caller{here, c.id, "wrong"}.ask(pathOAuth2Token, "grant_type", "client_credentials").refused(t, 401, "R1", "invalid_client")
}
