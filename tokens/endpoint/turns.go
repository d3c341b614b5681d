package endpoint

import (
	"context"
	"fmt"
	"sync"
)

// turns let the requests of one client be counted and stored one after the other, so
// that what the limit of generations has said stays true until the store has
// answered. Requests of different clients never wait for each other here.
type turns struct {
	mu      sync.Mutex
	clients map[string]*turn // that have a request in it
}

type turn struct {
	free     chan struct{} // holds one value while nobody has the turn
	requests int           // that have it or wait for it
}

// take waits until it is this request's turn, which lasts until done is called.
func (t *turns) take(ctx context.Context, client string) (done func(), err error) {
	one := t.join(client)
	select {
	case <-one.free:
		return func() { one.free <- struct{}{}; t.leave(client) }, nil
	case <-ctx.Done():
		t.leave(client)
		return nil, fmt.Errorf("wait for other requests of the client: %w", context.Cause(ctx))
	}
}

func (t *turns) join(client string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.clients[client]
	if one == nil {
		if t.clients == nil {
			t.clients = map[string]*turn{}
		}
		one = &turn{free: make(chan struct{}, 1)}
		one.free <- struct{}{}
		t.clients[client] = one
	}
	one.requests++
	return one
}

func (t *turns) leave(client string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clients[client].requests--; t.clients[client].requests == 0 {
		delete(t.clients, client)
	}
}
