package endpoint

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tollgate-authz/tollgate/tokens"
	"github.com/tollgate-authz/tollgate/tokens/sqlite"
)

// storeRecords are Records as the process has them: the store, and the registry that
// the gate goes by, which has followed when a call returns.
type storeRecords struct {
	*sqlite.DB
	registry *tokens.Registry
	now      func() time.Time
}

func (r storeRecords) Follow(ctx context.Context) error { return r.registry.Refresh(ctx, r.now()) }

func (r storeRecords) Client(_ context.Context, idOrAlias string) (*tokens.Client, error) {
	if client := r.registry.Client(idOrAlias); client != nil {
		return client, nil
	}
	return nil, tokens.ErrNotFound
}

func (r storeRecords) AddTokens(ctx context.Context, f *tokens.Family, g *tokens.Grant) error {
	return r.then(ctx, r.DB.AddTokens(ctx, f, g))
}

func (r storeRecords) RotateFamily(ctx context.Context, next *tokens.Family, g *tokens.Grant) error {
	return r.then(ctx, r.DB.RotateFamily(ctx, next, g))
}

func (r storeRecords) EditToken(ctx context.Context, id string, edit func(*tokens.Holding) error) (*tokens.Holding, error) {
	h, err := r.DB.EditToken(ctx, id, edit)
	return h, r.then(ctx, err)
}

func (r storeRecords) EndFamily(ctx context.Context, id string) error {
	return r.then(ctx, r.DB.EndFamily(ctx, id))
}

func (r storeRecords) RevokeToken(ctx context.Context, g *tokens.Grant) error {
	return r.then(ctx, r.DB.RevokeToken(ctx, g))
}

func (r storeRecords) then(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	return r.registry.Refresh(ctx, r.now())
}

// meddler lets single calls fail, panic or wait.
type meddler struct {
	Records
	mu     sync.Mutex
	meddle func(call string) error // before each call, and after it under the name "call done"
}

// errStore is what a store says that cannot write.
var errStore = errors.New("the disk is full")

// set meddles with all calls from now on; nil lets them be.
func (m *meddler) set(meddle func(call string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meddle = meddle
}

// fail makes the calls of those names fail, without names all calls.
func (m *meddler) fail(calls ...string) {
	m.set(func(call string) error {
		if len(calls) == 0 || slices.Contains(calls, call) {
			return errStore
		}
		return nil
	})
}

func (m *meddler) around(call string, do func() error) error {
	m.mu.Lock()
	meddle := m.meddle
	m.mu.Unlock()
	if meddle == nil {
		return do()
	}
	if err := meddle(call); err != nil {
		return err
	}
	err := do()
	if late := meddle(call + " done"); late != nil {
		return late
	}
	return err
}

func (m *meddler) Follow(ctx context.Context) error {
	return m.around("Follow", func() error { return m.Records.Follow(ctx) })
}

func (m *meddler) Client(ctx context.Context, idOrAlias string) (c *tokens.Client, err error) {
	err = m.around("Client", func() error { c, err = m.Records.Client(ctx, idOrAlias); return err })
	return c, err
}

func (m *meddler) Family(ctx context.Context, id string) (f *tokens.Family, err error) {
	err = m.around("Family", func() error { f, err = m.Records.Family(ctx, id); return err })
	return f, err
}

func (m *meddler) AddTokens(ctx context.Context, f *tokens.Family, g *tokens.Grant) error {
	return m.around("AddTokens", func() error { return m.Records.AddTokens(ctx, f, g) })
}

func (m *meddler) RotateFamily(ctx context.Context, next *tokens.Family, g *tokens.Grant) error {
	return m.around("RotateFamily", func() error { return m.Records.RotateFamily(ctx, next, g) })
}

func (m *meddler) EndFamily(ctx context.Context, id string) error {
	return m.around("EndFamily", func() error { return m.Records.EndFamily(ctx, id) })
}

func (m *meddler) RevokeToken(ctx context.Context, g *tokens.Grant) error {
	return m.around("RevokeToken", func() error { return m.Records.RevokeToken(ctx, g) })
}
