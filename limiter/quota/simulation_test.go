package quota

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
)

// TestNeverOver runs seeded schedules of several processes on one ledger: messages
// and answers are lost, doubled and late, processes die and stop cleanly, their clocks
// step, limits change and not everybody hears of it at once. Every step checks that no
// limit is exceeded and that the books of both sides agree.
func TestNeverOver(t *testing.T) {
	t.Parallel()
	schedules := 10_000
	if testing.Short() {
		schedules = 1000
	}
	const workers = 4
	for worker := range workers {
		t.Run(fmt.Sprint(worker), func(t *testing.T) {
			t.Parallel()
			admitted, prepared := 0, 0
			for seed := worker; seed < schedules; seed += workers {
				s := newSimulation(uint64(seed))
				for step := range 150 {
					if err := s.step(); err != nil {
						t.Fatalf("seed %d, step %d: %v", seed, step, err)
					}
				}
				if err := s.end(); err != nil {
					t.Fatalf("seed %d, at the end: %v", seed, err)
				}
				prepared += s.prepared
				for _, n := range s.admitted {
					admitted += int(n)
				}
			}
			if admitted < schedules || prepared < schedules/10 { // else little was tried
				t.Errorf("only %d units were admitted, and a next day was prepared %d times", admitted, prepared)
			}
		})
	}
}

// simulation is a ledger, processes and a network that is not to be trusted. One
// goroutine runs all of it.
type simulation struct {
	*rand.Rand
	now       time.Time // true time
	skew      time.Duration
	fenced    map[LeaseID]bool // the ledger's clock was before their window, or long after it
	cells     map[CellID]*Cell
	leases    map[CellID]map[LeaseID]*Lease
	lines     map[simLine]Line
	wallet    int64           // sum of lines
	touched   map[CellID]bool // since the last check: the others are as they were then
	late      []Move          // on their way, to arrive at any time
	res       limiter.Result  // of the request at hand: it is too large to be made anew for each
	processes []*process
	names     byte
	limits    [2]int64 // of the day and of the wallet
	revs      [2]int64
	most      map[LimitID]int64 // the highest limit ever
	admitted  map[CellID]int64
	faults    bool
	prepared  int // how often there was a lease of the day to come
}

type simLine struct {
	lease LeaseID
	hour  int64
	price int64
}

// process is one holder, with a clock and a feed of its own.
type process struct {
	book *Book
	sim  *simulation
	skew time.Duration
	revs [2]int64 // the revisions it has heard of
	bill *Bill
	// stopping: no request comes any more.
	stopping bool
	acted    bool // since the last check: else it is as it was then
	// requests that wait, with what they wait for
	waiting []*pending
}

type pending struct {
	request Request
	waiter  waiter
	changed <-chan struct{}
}

// Read names processes: no name is given twice.
func (s *simulation) Read(p []byte) (int, error) {
	s.names++
	for i := range p {
		p[i] = s.names
	}
	return len(p), nil
}

func newSimulation(seed uint64) *simulation {
	s := &simulation{
		Rand: rand.New(rand.NewPCG(seed, 5)), now: time.Unix(1_700_000_000+int64(seed%86400), 0),
		cells: map[CellID]*Cell{}, leases: map[CellID]map[LeaseID]*Lease{}, lines: map[simLine]Line{},
		most: map[LimitID]int64{}, fenced: map[LeaseID]bool{}, admitted: map[CellID]int64{}, touched: map[CellID]bool{}, faults: seed%10 != 0,
	}
	sizes := []int64{1, 3, 8, 50, 200, 1000, 5000}
	s.limits = [2]int64{sizes[s.IntN(len(sizes))], 20 * sizes[s.IntN(len(sizes))]}
	s.revs = [2]int64{1, 1}
	for range 1 + s.IntN(4) {
		s.processes = append(s.processes, s.start())
	}
	return s
}

func (s *simulation) start() *process {
	p := &process{sim: s, revs: s.revs}
	if s.faults {
		p.skew = time.Duration(s.IntN(4000)-2000) * time.Millisecond
	}
	var err error
	if p.book, err = NewBook(Config{Ledger: nowhere{}, Random: s, Now: func() time.Time { return s.now.Add(p.skew) }}); err != nil {
		panic(err)
	}
	p.hear()
	return p
}

// nowhere stands where a ledger does: the simulation delivers the moves itself.
type nowhere struct{ Ledger }

var (
	simDay    = NewLimitID(limiter.KindPerDay, "p", "c")
	simWallet = NewLimitID(limiter.KindWallet, "", "a")
	simBill   = NewBillID("b")
)

// hear brings the newest limits to a process.
func (p *process) hear() {
	s := p.sim
	p.revs = s.revs
	charges := []Charge{
		{ID: simDay, Kind: limiter.KindPerDay, Limit: s.limits[0], Rev: s.revs[0]},
		{ID: simWallet, Kind: limiter.KindWallet, Limit: s.limits[1], Rev: s.revs[1], Lines: true},
	}
	for _, c := range charges {
		s.most[c.ID] = max(s.most[c.ID], c.Limit)
	}
	p.bill = p.book.Bill(simBill, "a", time.UTC, charges)
}

func (s *simulation) step() error {
	s.now = s.now.Add(time.Duration(s.IntN(200)) * time.Millisecond)
	if s.IntN(50) == 0 {
		s.now = s.now.Add(time.Duration(s.IntN(6*3600)) * time.Second)
	}
	if s.IntN(50) == 0 { // shortly before midnight
		s.now = s.now.Truncate(24 * time.Hour).Add(24*time.Hour - time.Duration(s.IntN(12000))*time.Millisecond)
	}
	i := s.IntN(len(s.processes))
	p := s.processes[i]
	p.acted = true
	switch n := s.IntN(100); {
	case n < 45:
		for range 1 + s.IntN(12) {
			if err := p.request(s.IntN(4) == 0); err != nil {
				return err
			}
		}
	case n < 80:
		if err := p.talk(); err != nil {
			return err
		}
	case n < 86:
		p.book.lookAtIdle()
	case n < 90:
		s.arrive()
	case n < 92:
		p.hear()
	case n < 94:
		s.change()
		p.hear()
	case !s.faults:
	case n < 96: // kill -9
		s.processes[i] = s.start()
	case n < 97: // a clean stop, as far as the network lets it
		if err := p.stop(); err != nil {
			return err
		}
		s.processes[i] = s.start()
	case n < 98:
		p.skew += time.Duration(s.IntN(7200)-3600) * time.Second
	case n < 99:
		s.skew += time.Duration(s.IntN(120)-60) * time.Second
	}
	return s.check()
}

// change gives a limit a new value, of which somebody will hear.
func (s *simulation) change() {
	which := s.IntN(2)
	s.limits[which] = max(0, s.limits[which]+int64(s.IntN(200))-100)
	s.revs[which]++
}

// request tries one request; those that have to wait are tried again after an answer.
func (p *process) request(free bool) error {
	w := pending{request: Request{What: "r"}}
	if !free {
		w.request.Price = Micros(1 + p.sim.IntN(3)*10)
	}
	return p.try(&w, p.sim.IntN(10) == 0)
}

func (p *process) try(w *pending, last bool) error {
	res := &p.sim.res
	w.request.Now = p.book.Now()
	memory := func(bool) {
		res.Verdict, res.Count, res.RetryAfter, res.Never, res.Shadowed = limiter.Allowed, 0, 0, false, false
	}
	if w.changed = p.book.try(&w.request, p.bill, res, memory, &w.waiter, last); w.changed != nil {
		waits := *w
		p.waiting = append(p.waiting, &waits)
		return nil
	}
	if res.Verdict != limiter.Allowed {
		return nil
	}
	for i := range p.bill.items {
		it := &p.bill.items[i]
		cost := it.cost(w.request.Price)
		if cost == 0 {
			continue
		}
		l := it.counter.lease
		p.sim.admitted[l.cell] += cost
		p.sim.touched[l.cell] = true
		switch n := p.sim.admitted[l.cell]; {
		case l.left() < 0:
			return fmt.Errorf("%v: %d left", it.Kind, l.left())
		case l.cell.Window != p.bill.account.window(&it.Charge).label:
			return fmt.Errorf("%v: charged to the window %d", it.Kind, l.cell.Window)
		case p.revs[i] == p.sim.revs[i] && n > p.sim.limits[i]:
			return fmt.Errorf("%v: %d admitted under a limit of %d that was known", it.Kind, n, p.sim.limits[i])
		}
	}
	return nil
}

// retry is what those who wait do after an answer, or when they have waited for long.
func (p *process) retry() error {
	list := p.waiting
	p.waiting = nil
	for _, w := range list {
		last := false
		select {
		case <-w.changed:
		default:
			if last = p.sim.IntN(4) == 0; !last {
				p.waiting = append(p.waiting, w)
				continue
			}
		}
		p.acted = true
		if err := p.try(w, last); err != nil {
			return err
		}
	}
	return nil
}

// talk sends what there is to tell, over the network.
func (p *process) talk() error {
	s := p.sim
	p.acted = true
	sent := p.book.Now()
	batch := p.book.collect()
	if len(batch.leases) == 0 {
		return nil
	}
	answered := 0
	for i := range batch.moves {
		m := batch.moves[i]
		switch n := s.IntN(20); {
		case !s.faults || n < 12:
			batch.answers[i] = s.apply(&m)
			answered++
		case n < 14: // the answer is lost
			s.apply(&m)
		case n < 16: // the message is lost
		case n < 18: // it comes late
			s.late = append(s.late, m)
		default: // it comes twice
			batch.answers[i] = s.apply(&m)
			answered++
			s.late = append(s.late, m)
		}
	}
	switch n := s.IntN(10); { // meanwhile
	case p.stopping:
	case n == 0:
		s.change()
		p.hear()
	case n < 3:
		if err := p.request(s.IntN(4) == 0); err != nil {
			return err
		}
	}
	if answered == len(batch.moves) {
		p.book.learn(batch.answers, sent, p.book.Now())
	}
	p.book.settle(&batch, p.book.Now())
	return nil
}

// arrive delivers some of what is late, in any order.
func (s *simulation) arrive() {
	for len(s.late) > 0 && s.IntN(3) > 0 {
		i := s.IntN(len(s.late))
		m := s.late[i]
		s.late = append(s.late[:i], s.late[i+1:]...)
		s.apply(&m)
	}
}

func (s *simulation) apply(m *Move) Answer {
	cell, lease := Cell{}, Lease{}
	if c := s.cells[m.Cell]; c != nil {
		cell = *c
	}
	if l := s.leases[m.Cell][m.Lease]; l != nil {
		lease = *l
	}
	charged := cell.Charged
	now := s.now.Add(s.skew).UnixMilli()
	answer := Apply(&cell, &lease, m, now)
	if answer.Status == Ahead || answer.Status == Over {
		s.fenced[m.Lease] = true
	}
	if !lease.Known {
		return answer
	}
	if cell.Charged > charged && cell.Charged > cell.Limit {
		panic(fmt.Sprintf("a grant leaves %d charged of %d", cell.Charged, cell.Limit)) // nothing is healed here
	}
	s.cells[m.Cell], s.touched[m.Cell] = &cell, true
	if s.leases[m.Cell] == nil {
		s.leases[m.Cell] = map[LeaseID]*Lease{}
	}
	s.leases[m.Cell][m.Lease] = &lease
	if answer.Status == Open || answer.Status == Closed && lease.Seq == m.Seq {
		for _, line := range m.Lines {
			key := simLine{m.Lease, line.Hour, line.Price}
			if old := s.lines[key]; line.Count > old.Count {
				s.lines[key] = line
				s.wallet += line.Spent - old.Spent
			}
			if line.Spent != line.Count*line.Price {
				panic(fmt.Sprintf("line %+v does not add up", line))
			}
		}
	}
	return answer
}

// check looks at what must hold at every instant: of the cells that something was done
// with since the last time.
func (s *simulation) check() error {
	for id := range s.touched {
		if err := s.checkCell(id); err != nil {
			return err
		}
	}
	clear(s.touched)
	for _, p := range s.processes {
		if err := p.retry(); err != nil {
			return err
		}
		if err := p.check(); err != nil {
			return err
		}
	}
	return nil
}

func (p *process) check() error {
	if !p.acted {
		return nil
	}
	p.acted = false
	for _, c := range p.bill.account.counters {
		if c.next != nil {
			p.sim.prepared++
		}
		l := c.lease
		if l.left() < 0 {
			return fmt.Errorf("%d left of a lease", l.left())
		}
		if row := p.sim.leases[l.cell][LeaseID{p.book.process, l.number}]; row != nil && l.granted > row.Granted {
			return fmt.Errorf("a holder believes in %d, the ledger has granted %d", l.granted, row.Granted)
		}
		if c.need < 0 {
			return fmt.Errorf("%d needed", c.need)
		}
	}
	return nil
}

func (s *simulation) checkCell(id CellID) error {
	n, cell := s.admitted[id], s.cells[id]
	if cell == nil {
		return fmt.Errorf("%v: %d admitted, and the ledger knows nothing", id.Limit.Kind(), n)
	}
	charged, known := cell.Folded, cell.Folded
	for _, l := range s.leases[id] {
		if !l.Closed {
			charged += l.Granted
			known += l.Spent
		}
	}
	switch most := s.most[id.Limit]; {
	case charged != cell.Charged:
		return fmt.Errorf("cell %v: %d charged, but %d granted and folded", id, cell.Charged, charged)
	case n > most:
		return fmt.Errorf("%v: %d admitted of %d", id.Limit.Kind(), n, most)
	case n > cell.Charged:
		return fmt.Errorf("%v: %d admitted, %d charged", id.Limit.Kind(), n, cell.Charged)
	case id.Limit.Kind() == limiter.KindWallet && s.wallet != known: // there is one
		return fmt.Errorf("the wallet's lines add up to %d, its leases to %d", s.wallet, known)
	}
	return nil
}

// stop closes a process cleanly, as far as the network lets it within a hundred tries.
func (p *process) stop() error {
	p.stopping = true
	ended, end := context.WithCancel(context.Background())
	end()
	p.book.Close(ended)
	for i := 0; i < 100 && p.book.queue.len() > 0; i++ {
		if err := p.talk(); err != nil {
			return err
		}
	}
	return nil
}

// end stops everybody with a network that works: nothing is left leased but what died
// with its process.
func (s *simulation) end() error {
	s.arrive()
	s.faults = false
	alive := map[ProcessID]bool{}
	for _, p := range s.processes {
		alive[p.book.process] = true
		if err := p.stop(); err != nil {
			return err
		}
		if n := p.book.queue.len(); n > 0 {
			return fmt.Errorf("%d leases were not given back", n)
		}
	}
	for id, leases := range s.leases {
		for name, l := range leases {
			if alive[name.Process] && !l.Closed && !s.fenced[name] {
				return fmt.Errorf("lease %d of %v in %v was not closed", name.Number, name.Process, id)
			}
		}
	}
	return s.check()
}
