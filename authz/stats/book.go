package stats

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what NewBook needs.
type Config struct {
	Store  Adder
	Random io.Reader        // names the process; 16 bytes are read
	Now    func() time.Time // for how long a flush takes; nil: time.Now
	// MaxSeries bounds what is counted between two flushes; 0: 200,000. Beyond it new
	// tokens are counted as Others, an eighth later their clients, another eighth
	// later everything but account and code. Half as many addresses are told apart.
	MaxSeries int
	// Flushed is told of every attempt to store something; it may be nil.
	Flushed func(series int, took time.Duration, err error)
}

// SeriesBytes is about what one series takes in memory, with its share of everything
// beside it: twice, for one half is counted while the other is stored.
const SeriesBytes = 512

// Book counts decisions in memory until a flush has stored them. It is safe for
// concurrent use; Run flushes.
type Book struct {
	Config
	process ProcessID
	seed    maphash.Seed
	shards  [shards]shard
	series  atomic.Int64 // in live tables
	sources atomic.Int64 // likewise
	folded  atomic.Uint64

	waiting atomic.Int64 // series in pending

	flushMu sync.Mutex
	number  uint64   // of the last batch
	pending []*Batch // to be stored, in this order
}

// NewBook makes an empty book.
func NewBook(c Config) (*Book, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxSeries == 0 {
		c.MaxSeries = 200_000
	}
	if c.Store == nil || c.Random == nil || c.MaxSeries < 0 {
		return nil, errors.New("book of statistics: Store and Random are needed, and no negative MaxSeries")
	}
	b := &Book{Config: c, seed: maphash.MakeSeed()}
	if _, err := io.ReadFull(c.Random, b.process[:]); err != nil {
		return nil, fmt.Errorf("name the process: %w", err)
	}
	for i := range b.shards {
		b.shards[i].live, b.shards[i].spare = newTable(), newTable()
	}
	return b, nil
}

// Series is how many series are counted that are not stored yet.
func (b *Book) Series() int { return int(b.series.Load() + b.waiting.Load()) }

// Folded is how many requests were counted with less than they had, because there was
// no room.
func (b *Book) Folded() uint64 { return b.folded.Load() }

// Count counts one decision.
func (b *Book) Count(e *Event) {
	k := key{e.Account, e.Series, e.At.Unix() / 60}
	hash := b.hash(&k)
	s := &b.shards[shardOf(e, hash)]
	s.mu.Lock()
	r := s.live.find(uint32(hash), &k)
	if r == nil {
		r = b.addRow(s.live, &k, uint32(hash))
	}
	if r.source != e.Source {
		b.locate(s.live, r)
		r.source = e.Source
	}
	r.Requests++
	if e.Price > 0 {
		r.PaidCalls++
		r.PaidAmount += e.Price
	}
	s.mu.Unlock()
}

// hash is where a series is found. A token has few of them: what tells those apart most
// is enough, and half as much to read.
func (b *Book) hash(k *key) uint64 {
	if k.Token == "" || k.Token == Others {
		return maphash.Comparable(b.seed, *k)
	}
	return maphash.String(b.seed, k.Token) + uint64(len(k.Route))<<7 + uint64(len(k.Code))
}

// shardOf keeps a series in one shard. Those without a token, which strangers send as
// many requests of as they like, are few and go anywhere.
func shardOf(e *Event, hash uint64) uint64 {
	if e.Token == "" {
		hash = rand.Uint64()
	}
	return hash >> 32 % shards
}

// addRow makes room for a series, or says where it is counted when there is none.
func (b *Book) addRow(t *table, k *key, hash uint32) *row {
	for level := 0; ; level++ {
		switch level {
		case 1:
			b.folded.Add(1)
			k.Token = Others
		case 2:
			k.Client = Others
		case 3: // also the minute: the store may be away for days
			k.Domain, k.API, k.Route, k.minute = Others, Others, Others, t.firstMinute(k.minute)
		}
		if level > 0 {
			hash = uint32(b.hash(k))
			if r := t.find(hash, k); r != nil {
				return r
			}
		}
		room := int64(b.MaxSeries + b.MaxSeries/8*level)
		if n := b.series.Add(1); n <= room || level == 3 { // the last level is bounded by accounts and codes
			return t.add(hash, k)
		}
		b.series.Add(-1)
	}
}

// locate counts the requests of a row by address.
func (b *Book) locate(t *table, r *row) {
	if n := r.Requests - r.located; n > 0 {
		t.addresses[b.addressOf(t, origin{account: r.account, minute: r.minute, source: r.source})].requests += n
		r.located = r.Requests
	}
}

// addressOf finds where requests from an address are counted.
func (b *Book) addressOf(t *table, o origin) int32 {
	if i, known := t.origins[o]; known {
		return i
	}
	if b.sources.Add(1) > int64(b.MaxSeries/2) {
		b.sources.Add(-1)
		o.source, o.others, o.minute = netip.Addr{}, true, t.firstMinute(o.minute)
		if i, known := t.origins[o]; known {
			return i
		}
		b.sources.Add(1)
	}
	i := int32(len(t.addresses))
	t.addresses = append(t.addresses, address{origin: o})
	t.origins[o] = i
	return i
}
