package endpoint

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
)

// TestB14_FullDisk: what has to be written is answered with 503 and Retry-After, and
// counts as nothing; the rest goes on. Once the disk has room everything is as it was.
func TestB14_FullDisk(t *testing.T) {
	t.Parallel()
	for _, format := range formats {
		w := newWorld(t)
		c := w.caller("app", refreshing, formatted(format))
		jwt := w.caller("jwt", formatted(tokens.JWT))
		first := c.token()
		w.advance(time.Second)
		second := c.refreshed(first)
		w.advance(time.Second)
		w.records.fail("AddTokens", "RotateFamily", "EndFamily", "RevokeToken")
		for range 20 {
			c.ask(pathOAuth2Token, "grant_type", "client_credentials").wantUnavailable(t)
			c.refresh(second).wantUnavailable(t)
			c.refresh(first).wantUnavailable(t) // reuse, whose consequence could not be written
			c.revoke(second.fields.AccessToken).wantUnavailable(t)
			c.revoke(second.fields.RefreshToken).wantUnavailable(t)
			if ev := w.lastEvent(); !errors.Is(ev.Err, errStore) {
				t.Errorf("event %+v", ev)
			}
			c.wantActive(true, second.fields.AccessToken)
		}
		for range 10 {
			w.verify(jwt.token())
		}
		w.records.set(nil)
		w.advance(5 * time.Second)
		third := c.refreshed(second)
		w.wantLive(true, third)
		c.revoked(third.fields.AccessToken)
		w.wantLive(false, third)
		w.wantLive(true, c.token())
	}
}

// TestJWTsNeedNoStore: neither writes nor look-ups, and so no disk, for a JWT without a
// refresh token beside it.
func TestJWTsNeedNoStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, unlimited)
	c := w.caller("app", refreshing)
	w.records.set(func(call string) error {
		if call != "Client" && call != "Client done" {
			t.Errorf("%s was called", call)
		}
		return nil
	})
	w.verify(w.do(jsonRequest(w.client.ID, w.secret, nil)))
	w.verify(w.do(jsonRequest("reports", w.secret, "contacts:read")))
	w.verify(w.do(formRequest("grant_type", "client_credentials", "resource", apiOne).basic("reports", w.secret)))
	r := w.do(jsonRequest(c.id, c.secret, nil)) // there are no refresh tokens at /auth/token
	w.verify(r)
	c.wantActive(true, r.fields.AccessToken)
}

// TestB15_LockedStore holds the lock of the database, as another process can. Writes
// are answered within five seconds, also those that wait for others of their client.
func TestB15_LockedStore(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for a lock for five seconds")
	}
	path := newFile(t)
	w := newProcess(t, path, unlimited)
	c, opaque, jwt := w.caller("app", refreshing), w.caller("opaque", formatted(tokens.Opaque)), w.caller("jwt")
	r, kept := c.token(), c.token()
	other, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	w.must(err)
	defer other.Close()
	lock, err := other.BeginTx(t.Context(), nil)
	w.must(err)
	defer func() { _ = lock.Rollback() }() // where the test ends early

	asks := []func() response{
		func() response { return c.refresh(r) },
		func() response { return c.refresh(r) },
		func() response { return c.ask(pathOAuth2Token, "grant_type", "client_credentials") },
		func() response { return opaque.ask(pathOAuth2Token, "grant_type", "client_credentials") },
		func() response { return c.revoke(kept.fields.AccessToken) },
		func() response { return c.revoke(kept.fields.RefreshToken) },
	}
	start := time.Now()
	var waiting []<-chan response
	for _, ask := range asks {
		waiting = append(waiting, answers(ask))
	}
	for range 100 { // meanwhile
		w.verify(jwt.token())
		c.wantActive(true, kept.fields.AccessToken)
		c.wantActive(true, kept.fields.RefreshToken)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("what needs no lock took %s", took)
	}
	for _, answer := range waiting {
		(<-answer).wantUnavailable(t)
	}
	if took := time.Since(start); took > 5*time.Second+busyMachine {
		t.Errorf("the answers took %s", took)
	}
	w.must(lock.Rollback())
	r = c.refreshed(r)
	w.wantLive(true, r)
	c.revoked(kept.fields.RefreshToken)
	w.wantLive(false, kept)
}

// TestTurns: one at a time for each client, and who has waited long enough leaves.
func TestTurns(t *testing.T) {
	t.Parallel()
	var turns turns
	done, err := turns.take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turns.take(gone, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a second turn: %v", err)
	}
	other, err := turns.take(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	done()
	n, all := 0, sync.WaitGroup{}
	for range 100 {
		all.Go(func() {
			done, err := turns.take(t.Context(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			n++ // the race detector watches
			done()
		})
	}
	all.Wait()
	if n != 100 || len(turns.clients) != 0 {
		t.Errorf("%d turns, %d clients are remembered", n, len(turns.clients))
	}
}

// busyMachine is what other tests beside this one may add to a wait.
const busyMachine = time.Second
