package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/tollgate-authz/tollgate/cmd/tollgate/config"
	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

// records are the store, and the registry that the gate of this process goes by:
// what was written holds for the next Check.
type records struct {
	*sqlite.DB
	registry *tokens.Registry
	now      func() time.Time
}

// Follow asks the store whether the command line, say, has changed something a moment
// ago.
func (r records) Follow(ctx context.Context) error { return r.registry.Refresh(ctx, r.now()) }

func (r records) Client(_ context.Context, idOrAlias string) (*tokens.Client, error) {
	if client := r.registry.Client(idOrAlias); client != nil {
		return client, nil
	}
	return nil, tokens.ErrNotFound
}

func (r records) AddTokens(ctx context.Context, f *tokens.Family, g *tokens.Grant) error {
	if err := r.DB.AddTokens(ctx, f, g); err != nil {
		return err
	}
	return r.announce(ctx, g)
}

func (r records) RotateFamily(ctx context.Context, next *tokens.Family, g *tokens.Grant) error {
	if err := r.DB.RotateFamily(ctx, next, g); err != nil {
		return err
	}
	return r.announce(ctx, g)
}

func (r records) EditToken(ctx context.Context, id string, edit func(*tokens.Holding) error) (*tokens.Holding, error) {
	h, err := r.DB.EditToken(ctx, id, edit)
	if err != nil {
		return nil, err
	}
	return h, r.announce(ctx, h.Grant)
}

// announce makes an opaque token known here before its holder has it. It is stored:
// should that fail, the registry learns of it with its next poll, and the holder
// must have his token, for the one before is spent.
func (r records) announce(ctx context.Context, g *tokens.Grant) error {
	if g != nil {
		_ = r.registry.Refresh(ctx, r.now())
	}
	return nil
}

func (r records) EndFamily(ctx context.Context, id string) error {
	if err := r.DB.EndFamily(ctx, id); err != nil {
		return err
	}
	return r.registry.Refresh(ctx, r.now())
}

func (r records) RevokeToken(ctx context.Context, g *tokens.Grant) error {
	if err := r.DB.RevokeToken(ctx, g); err != nil {
		return err
	}
	return r.registry.Refresh(ctx, r.now())
}

// maxMoves is how many marks may wait to be stored. One that finds no room is made
// again with the next request of that account.
const maxMoves = 1000

// moved puts the mark in force at once and has it stored on the side: a Check does
// not wait for the store. Until it is stored, the end of the process undoes it, and
// the next request makes it again.
func (n *node) moved(m tokens.Move) {
	select {
	case n.moves <- m:
		n.registry.MoveNow(&m)
	default:
	}
}

// storeMoves stores marks until ctx ends.
func (n *node) storeMoves(ctx context.Context) {
	storeAll(ctx, n.moves, func(m *tokens.Move) bool {
		return n.storeUntilDone(ctx, func(ctx context.Context) error { return n.store.AddMove(ctx, m) },
			"a mark is in force and not stored yet; it is tried again", "account", m.Account, "api", m.API)
	})
}

// storeAll stores what comes through a channel until ctx ends, and what is in it then,
// unless the store fails.
func storeAll[T any](ctx context.Context, from <-chan T, store func(*T) bool) {
	for ctx.Err() == nil {
		select {
		case one := <-from:
			store(&one)
		case <-ctx.Done():
		}
	}
	for {
		select {
		case one := <-from:
			if !store(&one) {
				return
			}
		default:
			return
		}
	}
}

// reportMove logs a mark that was stored, here or elsewhere, or taken back.
func (n *node) reportMove(id tokens.MoveID, m *tokens.Move) {
	if m == nil {
		n.log.Info("API keys of an account are accepted at an API again", "account", id.Account, "api", id.API)
		return
	}
	n.log.Info("an account uses OAuth 2.0 at an API from now on; its API keys are refused there", "account", id.Account, "api", id.API, "client", m.Client)
}

// storeUntilDone tries until what is in force is stored, or ctx ends, and reports whether
// it is.
func (n *node) storeUntilDone(ctx context.Context, store func(context.Context) error, failing string, attrs ...any) bool {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := store(context.WithoutCancel(ctx))
		if err == nil {
			return true
		}
		n.log.Error(failing, append(attrs, "error", err)...)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// maxLockouts is how many lockouts may wait to be stored. One that finds no room ends
// with the process.
const maxLockouts = 1000

// lockedOut puts a lockout in force at once and has it stored on the side, if it is to
// survive this process.
func (n *node) lockedOut(l tokens.Lockout) {
	n.registry.LockNow(&l)
	n.log.Info("a token is locked out: it has exceeded its per_minute", "token_id", l.Token, "client", l.Client, "account", l.Account, "until", l.Until.UTC().Format(time.RFC3339))
	if !l.Lasting() {
		return
	}
	select {
	case n.lockouts <- l:
	default:
		n.log.Error("a lockout is in force and cannot be stored: too many wait", "token_id", l.Token)
	}
}

// storeLockouts stores lockouts until ctx ends.
func (n *node) storeLockouts(ctx context.Context) {
	storeAll(ctx, n.lockouts, func(l *tokens.Lockout) bool {
		return n.storeUntilDone(ctx, func(ctx context.Context) error { return n.storeLockout(ctx, l) },
			"a lockout is in force and not stored yet; it is tried again", "token_id", l.Token)
	})
}

// storeLockout stores one, unless it was lifted while it waited.
func (n *node) storeLockout(ctx context.Context, l *tokens.Lockout) error {
	n.liftMu.Lock()
	defer n.liftMu.Unlock()
	if n.registry.Lockout(l.Issuer, l.Token, n.now()) == nil {
		return nil
	}
	return n.store.AddLockout(ctx, l)
}

// prune forgets what has expired, in memory and in the store.
func (n *node) prune(ctx context.Context) {
	n.registry.Prune(n.now())
	if err := n.keys.Prune(); err != nil {
		n.log.Error("forget expired signing keys", "error", err)
	}
	pruned, err := n.store.Prune(ctx)
	if err != nil && ctx.Err() == nil {
		n.log.Error("prune the store", "error", err)
	}
	if pruned > 0 {
		n.log.Debug("the store was pruned", "rows", pruned)
	}
}

// ensureKey sees to it that there is a key that signs: the one in the file that the
// configuration names, or one of the store's own.
func (n *node) ensureKey(ctx context.Context, c *config.Config) error {
	if c.Keys.SigningKey == "" {
		return n.store.EnsureSigningKey(ctx, c.Tokens.SigningAlgorithm, rand.Reader, c.Tokens.AccessTTL)
	}
	key, err := c.ReadSigningKey(n.now())
	if err != nil {
		return err
	}
	known, err := n.store.SigningKeys(ctx)
	if err != nil {
		return err
	}
	ahead := publishAhead
	if len(known) == 0 {
		ahead = 0
	}
	// It is kept in the store as well: it must verify when the file has another, and
	// sign until that one is known.
	_, err = n.store.RotateSigningKey(ctx, tokens.Rotation{
		Key: key, Now: n.now(), Ahead: ahead, Lifetime: c.Tokens.AccessTTL,
		Unless: func(keys []*tokens.SigningKey) bool { return len(keys) > 0 && keys[0].ID == key.ID },
	})
	if err != nil {
		return fmt.Errorf("keys.signing_key: %w", err)
	}
	return nil
}

// publishAhead is how long a new signing key is published before it signs: longer
// than anybody may keep the key set (its max-age), and some more.
const publishAhead = 15 * time.Minute

// rotateKey makes a new signing key when the newest has signed for long enough.
func (n *node) rotateKey(ctx context.Context) {
	c := n.config.Load()
	if c.Keys.RotateEvery == 0 || c.Keys.SigningKey != "" {
		return
	}
	key, err := n.store.RotateSigningKey(ctx, tokens.Rotation{
		Alg: n.started.Tokens.SigningAlgorithm, Random: rand.Reader, Now: n.now(), Ahead: publishAhead, Lifetime: c.Tokens.AccessTTL,
		Unless: func(keys []*tokens.SigningKey) bool {
			return len(keys) > 0 && n.now().Before(keys[0].SignsFrom.Add(c.Keys.RotateEvery-publishAhead))
		},
	})
	switch {
	case err != nil && ctx.Err() == nil:
		n.log.Error("rotate the signing key", "error", err)
	case key != nil:
		n.log.Info("a new signing key is published", "kid", key.ID, "alg", key.Alg, "signs_from", key.SignsFrom.Format(time.RFC3339))
	}
}
