package stats

import (
	"context"
	"fmt"
	"time"
)

const (
	flushEvery   = time.Second
	flushTimeout = 5 * time.Second // of one batch: longer than a store waits for its lock
	lastFlush    = 2 * time.Second

	// batchBytes bounds a batch: others who write to the store wait meanwhile.
	batchBytes = 512 << 10
	// rowBytes is the size from which on an account gets another row in a batch.
	rowBytes = 128 << 10
	// rowCosts is what a row adds to a batch beside its data.
	rowCosts = 256
)

// Run stores what was counted, every second until ctx ends and once after that; what
// is counted later is lost.
func (b *Book) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
			defer cancel()
			return b.Flush(last)
		case <-tick.C:
			_ = b.Flush(ctx) // Flushed has been told, and the next one tries again
		}
	}
}

// Flush stores what was counted until now. A batch that the store did not acknowledge
// is sent again under its number until it does, and nothing after it before.
func (b *Book) Flush(ctx context.Context) error {
	b.flushMu.Lock()
	defer b.flushMu.Unlock()
	if len(b.pending) > 0 { // what the last flush left is first, for tables are swapped only when their spares are free
		if err := b.send(ctx); err != nil {
			return err
		}
	}
	b.collect()
	return b.send(ctx)
}

// send stores the pending batches. flushMu is held.
func (b *Book) send(ctx context.Context) error {
	if len(b.pending) == 0 {
		return nil
	}
	began, series := b.Now(), int(b.waiting.Load())
	err := b.sendAll(ctx)
	if b.Flushed != nil {
		b.Flushed(series, b.Now().Sub(began), err)
	}
	return err
}

func (b *Book) sendAll(ctx context.Context) error {
	for i, batch := range b.pending {
		each, cancel := context.WithTimeout(ctx, flushTimeout)
		err := b.Store.AddStats(each, batch)
		cancel()
		if err != nil {
			b.pending = b.pending[i:]
			return fmt.Errorf("store statistics: %w", err)
		}
		b.pending[i] = nil
	}
	b.pending = nil
	b.waiting.Store(0)
	return nil
}

// collect makes batches of what was counted. flushMu is held.
func (b *Book) collect() {
	sheets := sorter{places: map[place]*sheet{}}
	sources := int64(0)
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		s.live, s.spare = s.spare, s.live
		s.mu.Unlock()
		t := s.spare
		for i := range t.rows {
			b.locate(t, &t.rows[i])
		}
		b.series.Add(-int64(len(t.rows)))
		sources += int64(len(t.addresses))
		b.waiting.Add(int64(len(t.rows)))
		sheets.add(t)
	}
	b.sources.Add(-sources) // not before: the bound is one of all shards
	p := packer{encoder: newEncoder()}
	for _, s := range sheets.list {
		p.pack(s)
	}
	for i := range b.shards {
		b.shards[i].spare = b.shards[i].spare.empty()
	}
	for _, rows := range p.batches {
		b.number++
		b.pending = append(b.pending, &Batch{Process: b.process, Number: b.number, Rows: rows})
	}
}

// place is whose row it is, and of which minute.
type place struct {
	account string
	minute  int64
}

// sheet is what was counted at a place.
type sheet struct {
	place
	rows      []*row
	addresses []*address
}

// sorter sorts what was counted by place: encoding a thousand of them at once would be
// three times as slow.
type sorter struct {
	places map[place]*sheet
	list   []*sheet
	last   *sheet
}

func (s *sorter) add(t *table) {
	for i := range t.rows {
		at := s.at(place{t.rows[i].account, t.rows[i].minute})
		at.rows = append(at.rows, &t.rows[i])
	}
	for i := range t.addresses {
		at := s.at(place{t.addresses[i].account, t.addresses[i].minute})
		at.addresses = append(at.addresses, &t.addresses[i])
	}
}

func (s *sorter) at(p place) *sheet {
	if s.last != nil && s.last.place == p {
		return s.last
	}
	if s.last = s.places[p]; s.last == nil {
		s.last = &sheet{place: p}
		s.places[p] = s.last
		s.list = append(s.list, s.last)
	}
	return s.last
}

// packer puts rows into batches.
type packer struct {
	encoder *encoder
	batches [][]Row
	room    int // in the last batch
}

func (p *packer) pack(s *sheet) {
	e := p.encoder
	for _, r := range s.rows {
		e.addSeries(&r.Series, &r.Counts)
		p.close(s, rowBytes)
	}
	for _, a := range s.addresses {
		if a.others {
			e.others += a.requests
			continue
		}
		e.addAddress(a.source, a.requests)
		p.close(s, rowBytes)
	}
	p.close(s, 0)
}

// close makes a row when there is enough for it.
func (p *packer) close(s *sheet, enough int) {
	e := p.encoder
	if e.len() < enough || e.len() == 0 && e.others == 0 {
		return
	}
	data := e.bytes()
	e.empty()
	costs := len(data) + rowCosts
	if p.room < costs {
		p.batches, p.room = append(p.batches, nil), batchBytes
	}
	p.room -= costs
	last := &p.batches[len(p.batches)-1]
	*last = append(*last, Row{Account: s.account, Start: s.minute * 60, Data: data})
}
