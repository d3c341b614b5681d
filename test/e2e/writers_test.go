package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
)

// writer issues, rotates and revokes, and remembers what it was told.
type writer struct {
	client   credential
	rng      *rand.Rand
	answered func() // is called after each answer
	pairs    []*lineage
	attempts int
}

// lineage is one grant: what its holder has been told of it.
type lineage struct {
	access         []string // that he has and that were not revoked
	revoked        []string
	refresh, spent string // the most recent refresh token, and the one before
	ended          string // the refresh token that was revoked
	rotations      int

	// What was asked and not answered.
	unsure         bool // of the refresh token
	ending         bool // it was to be revoked
	unsureOfAccess string
}

// run writes until a request gets no answer.
func (w *writer) run(ctx context.Context, s *stack) error {
	for ctx.Err() == nil {
		w.attempts++
		var l *lineage
		if n := len(w.pairs); n > 0 {
			l = w.pairs[w.rng.IntN(n)]
		}
		switch w.rng.IntN(4) {
		case 1, 2:
			if l == nil || l.ended != "" || l.unsure {
				continue
			}
			if len(l.access) > 0 && w.rng.IntN(3) == 0 {
				if err := w.revokeAccess(ctx, s, l); err != nil {
					return err
				}
				continue
			}
			if err := w.rotate(ctx, s, l); err != nil {
				return err
			}
		case 3:
			if l == nil || l.ended != "" || l.unsure || w.rng.IntN(4) != 0 {
				continue
			}
			l.unsure, l.ending = true, true
			a, err := s.revoke(ctx, w.client, l.refresh)
			if err := w.acknowledged(a, err); err != nil {
				return err
			}
			l.unsure, l.ending, l.ended = false, false, l.refresh
			l.revoked, l.access = append(l.revoked, l.access...), nil
		default:
			a, err := s.grant(ctx, w.client)
			if err := w.acknowledged(a, err); err != nil {
				return err
			}
			w.pairs = append(w.pairs, &lineage{access: []string{a.Access}, refresh: a.Refresh})
		}
	}
	return nil
}

func (w *writer) rotate(ctx context.Context, s *stack, l *lineage) error {
	l.unsure = true
	a, err := s.refresh(ctx, w.client, l.refresh)
	if err := w.acknowledged(a, err); err != nil {
		return err
	}
	l.unsure, l.spent, l.refresh = false, l.refresh, a.Refresh
	l.access = append(l.access, a.Access)
	l.rotations++
	return nil
}

func (w *writer) revokeAccess(ctx context.Context, s *stack, l *lineage) error {
	last := len(l.access) - 1
	bearer := l.access[last]
	l.access, l.unsureOfAccess = l.access[:last], bearer
	a, err := s.revoke(ctx, w.client, bearer)
	if err := w.acknowledged(a, err); err != nil {
		return err
	}
	l.unsureOfAccess, l.revoked = "", append(l.revoked, bearer)
	return nil
}

// errRefused is an answer that no writer should get.
type errRefused struct{ issued }

func (e errRefused) Error() string { return fmt.Sprintf("%d %s", e.Status, e.Body) }

// acknowledged is nil when the request was granted.
func (w *writer) acknowledged(a issued, err error) error {
	if err == nil && a.Status != http.StatusOK {
		return errRefused{a}
	}
	if err == nil {
		w.answered()
	}
	return err
}

// verify holds a store that was killed against what the writers were told of it.
func (w *writer) verify(s *stack, check checker) (facts int) {
	s.t.Helper()
	for _, l := range w.pairs {
		for _, bearer := range l.access {
			if code := check.must(s, bearer); code != "" && !l.ending {
				s.t.Errorf("an access token that was issued: %s", code)
			}
		}
		for _, bearer := range l.revoked {
			if code := check.must(s, bearer); code != "R1" {
				s.t.Errorf("an access token that was revoked: %q, want R1", code)
			}
		}
		facts += len(l.access) + len(l.revoked)
		if l.unsure {
			continue
		}
		facts++
		if l.ended != "" {
			if a, err := s.refresh(s.t.Context(), w.client, l.ended); err != nil || a.Body != oldRefreshToken {
				s.t.Errorf("a refresh token that was revoked: %d %s, %v", a.Status, a.Body, err)
			}
			continue
		}
		if a, err := s.refresh(s.t.Context(), w.client, l.refresh); err != nil || a.Status != http.StatusOK {
			s.t.Errorf("the most recent refresh token, after %d rotations: %d %s, %v", l.rotations, a.Status, a.Body, err)
		}
		if l.spent != "" {
			facts++
			if a, err := s.refresh(s.t.Context(), w.client, l.spent); err != nil || a.Body != oldRefreshToken {
				s.t.Errorf("a refresh token that was spent: %d %s, %v", a.Status, a.Body, err)
			}
		}
	}
	return facts
}
