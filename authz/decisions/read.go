package decisions

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Latest returns at most limit decisions, the newest first. With before > 0 they are
// older than that sequence number: the next page begins at the Seq of the last record.
func (r *Ring) Latest(f *Filter, before uint64, limit int) (records []Record) {
	last := r.last.Load()
	n := last
	if before > 0 {
		n = min(last, before-min(before, 1))
	}
	var k kept
	for oldest := r.oldest(last); n > oldest && len(records) < limit; n-- {
		if r.read(n, &k); k.seq == n && f.match(&k) {
			records = append(records, r.record(&k))
		}
	}
	return records
}

// Batch is a part of what was decided after a sequence number.
type Batch struct {
	Records []Record `json:"decisions"` // the oldest first
	Next    uint64   `json:"next"`      // where to go on
	// Missed is how many decisions were gone before they could be looked at, whether the
	// filter means them or not.
	Missed uint64 `json:"missed"`
}

// Since returns at most limit decisions after a sequence number. A number from before
// this process, or of no process at all, stands for its start.
func (r *Ring) Since(after uint64, f *Filter, limit int) (b Batch) {
	last := r.last.Load()
	if after < r.first || after > last {
		after = r.first
	}
	b.Next = after
	if oldest := r.oldest(last); oldest > after {
		b.Missed, b.Next = oldest-after, oldest
	}
	var k kept
	for b.Next < last && len(b.Records) < limit {
		r.read(b.Next+1, &k)
		if k.seq <= b.Next {
			break // its writer has the number, and has not come to writing
		}
		b.Next++
		switch {
		case k.seq > b.Next:
			b.Missed++ // overwritten since
		case f.match(&k):
			b.Records = append(b.Records, r.record(&k))
		}
	}
	return b
}

// Tail returns the latest limit decisions, the oldest of them first, and where to go on.
func (r *Ring) Tail(f *Filter, limit int) Batch {
	next := r.written()
	records := r.Latest(f, next+1, limit)
	slices.Reverse(records)
	return Batch{Records: records, Next: next}
}

// written is the number up to which all decisions are written.
func (r *Ring) written() uint64 {
	last := r.last.Load()
	var k kept
	n := r.oldest(last)
	for n < last {
		if r.read(n+1, &k); k.seq <= n {
			break
		}
		n++
	}
	return n
}

// ErrClosed ends Follow when the process goes away.
var ErrClosed = errors.New("the process goes away")

const (
	pollEvery = 100 * time.Millisecond // the ring turns once in that time at 100,000 decisions a second
	quietMost = 5 * time.Second
	batchMost = 200
)

// Follow gives what is decided after a sequence number to emit, until that returns an
// error, ctx ends, or the ring is closed; it returns the cause. The first batch comes at
// once and one every few seconds even if nothing is in it, so that the follower knows
// where it is and that it is still heard. Nothing waits for a slow follower: it is told
// how much it missed.
func (r *Ring) Follow(ctx context.Context, after uint64, f *Filter, emit func(Batch) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	quiet, until := quietMost, uint64(0)
	for {
		b := r.Since(after, f, batchMost)
		after = b.Next
		if quiet += pollEvery; len(b.Records) > 0 || b.Missed > 0 || quiet >= quietMost {
			quiet = 0
			if err := emit(b); err != nil {
				return err
			}
		}
		more := len(b.Records) == batchMost
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case until > 0 && (!more || after >= until):
			return ErrClosed
		case more:
			continue
		}
		select {
		case <-ctx.Done():
		case <-r.closed:
			until = max(1, r.last.Load()) // what was decided until now is still told
		case <-tick.C:
		}
	}
}
