package quota

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// noon is the ledger's clock in these tests, in seconds.
const noon = 1_772_452_800

// step is one move, and what becomes of it. Of its answer only what Apply decides is
// told.
type step struct {
	name  string
	cell  Cell
	lease Lease
	move  Move
	at    time.Duration // after noon

	status    Status
	granted   int64
	available int64
	want      *Cell // nil: neither cell nor lease is another than before
	wantLease Lease
}

func (s *step) run(t *testing.T) {
	now := (noon*time.Second + s.at).Milliseconds()
	cell, lease, move := s.cell, s.lease, s.move
	answer := Apply(&cell, &lease, &move, now)
	wantCell, wantLease := s.cell, s.lease
	if s.want != nil {
		wantCell, wantLease = *s.want, s.wantLease
		wantLease.Seen = now
	}
	wantAnswer := Answer{Status: s.status, Granted: s.granted, Available: s.available, Limit: wantCell.Limit, Rev: wantCell.Rev, Now: now}
	for what, d := range map[string]string{"answer": cmp.Diff(wantAnswer, answer), "cell": cmp.Diff(wantCell, cell), "lease": cmp.Diff(wantLease, lease), "move": cmp.Diff(s.move, move)} {
		if d != "" {
			t.Errorf("%s: %s: -want +got:\n%s", s.name, what, d)
		}
	}
}

const told = noon * 1000

// TestStatuses: what a move is refused for, and that it then changes nothing.
func TestStatuses(t *testing.T) {
	t.Parallel()
	cell := Cell{Limit: 1000, Rev: 3, Charged: 110, Folded: 10, Begins: noon - 12*3600, Ends: noon + 12*3600}
	lease := Lease{Known: true, Seq: 7, Granted: 100, Spent: 40, Seen: told - 5000}
	closed := lease
	closed.Closed = true
	move := Move{Seq: 8, Spent: 70, Known: 100, Hold: 50, Need: 1, Limit: 2000, Rev: 4, Told: told, Begins: cell.Begins, Ends: cell.Ends}
	with := func(change func(*Move)) Move {
		m := move
		change(&m)
		return m
	}
	const midnight = 12 * time.Hour
	done, doneLease := &Cell{Limit: 2000, Rev: 4, Charged: 130, Folded: 10, Begins: cell.Begins, Ends: cell.Ends}, Lease{Known: true, Seq: 8, Granted: 120, Spent: 70}
	tooLate, tooLateLease := &Cell{Limit: 2000, Rev: 4, Charged: 110, Folded: 10, Begins: cell.Begins, Ends: cell.Ends}, Lease{Known: true, Seq: 8, Granted: 100, Spent: 70}
	for _, s := range []step{
		{name: "done", move: move, status: Open, granted: 120, available: 1870, want: done, wantLease: doneLease},
		{name: "the first move of a process", move: with(func(m *Move) { m.Told = 0 }), status: Old, granted: 100, available: 890},
		{name: "an hour on its way", at: time.Hour, move: move, status: Open, granted: 120, available: 1870, want: done, wantLease: doneLease},
		{name: "more than an hour on its way", at: time.Hour + time.Millisecond, move: move, status: Old, granted: 100, available: 890},
		{name: "old, and of a closed lease", at: 2 * time.Hour, lease: closed, move: move, status: Old, granted: 100, available: 890},
		{name: "of a closed lease", lease: closed, move: move, status: Closed, granted: 100, available: 890},
		{name: "an older one of a closed lease", lease: closed, move: with(func(m *Move) { m.Seq = 1 }), status: Closed, granted: 100, available: 890},
		{name: "closing a closed lease", lease: closed, move: with(func(m *Move) { m.Close = true }), status: Closed, granted: 100, available: 890},
		{name: "repeated", move: with(func(m *Move) { m.Seq = 7 }), status: Stale, granted: 100, available: 890},
		{name: "repeated, to close", move: with(func(m *Move) { m.Seq, m.Close = 7, true }), status: Stale, granted: 100, available: 890},
		{name: "overtaken", move: with(func(m *Move) { m.Seq = 3 }), status: Stale, granted: 100, available: 890},
		{name: "some were lost before it", move: with(func(m *Move) { m.Seq = 12 }), status: Open, granted: 120, available: 1870, want: done,
			wantLease: Lease{Known: true, Seq: 12, Granted: 120, Spent: 70}},
		{name: "seconds after midnight", at: midnight + 4999*time.Millisecond, move: with(func(m *Move) { m.Told += 12 * 3600_000 }), status: Open, granted: 120, available: 1870, want: done, wantLease: doneLease},
		{name: "after midnight nothing is granted", at: midnight + 5*time.Second, move: with(func(m *Move) { m.Told += 12 * 3600_000 }), status: Open, granted: 100, available: 1890, want: tooLate, wantLease: tooLateLease},
		{name: "a day after midnight", at: midnight + 24*time.Hour - time.Millisecond, move: with(func(m *Move) { m.Told += 36 * 3600_000 }), status: Open, granted: 100, available: 1890, want: tooLate, wantLease: tooLateLease},
		{name: "more than a day after midnight", at: midnight + 24*time.Hour, move: with(func(m *Move) { m.Told += 36 * 3600_000 }), status: Over, granted: 100, available: 890},
		{name: "closing more than a day after midnight", at: midnight + 24*time.Hour, move: with(func(m *Move) { m.Told, m.Close = m.Told+36*3600_000, true }), status: Over, granted: 100, available: 890},
		{name: "a minute before the window", at: -midnight - time.Minute, move: move, status: Open, granted: 120, available: 1870, want: done, wantLease: doneLease},
		{name: "more than a minute before the window", at: -midnight - time.Minute - time.Millisecond, move: move, status: Ahead, granted: 100, available: 890},
		{name: "it has an older limit", move: with(func(m *Move) { m.Limit, m.Rev = 5, 2 }), status: Open, granted: 120, available: 870,
			want: &Cell{Limit: 1000, Rev: 3, Charged: 130, Folded: 10, Begins: cell.Begins, Ends: cell.Ends}, wantLease: doneLease},
		{name: "it has another limit of that number", move: with(func(m *Move) { m.Limit, m.Rev = 500, 3 }), status: Open, granted: 120, available: 370,
			want: &Cell{Limit: 500, Rev: 3, Charged: 130, Folded: 10, Begins: cell.Begins, Ends: cell.Ends}, wantLease: doneLease},
		{name: "the day ends at another time", move: with(func(m *Move) { m.Begins, m.Ends = m.Begins+3600, m.Ends-3600 }), status: Open, granted: 120, available: 1870,
			want: &Cell{Limit: 2000, Rev: 4, Charged: 130, Folded: 10, Begins: cell.Begins + 3600, Ends: cell.Ends - 3600}, wantLease: doneLease},
		{name: "it closes", move: with(func(m *Move) { m.Close = true }), status: Closed, granted: 100, available: 1920, // what it asks for is nothing to it
			want: &Cell{Limit: 2000, Rev: 4, Charged: 80, Folded: 80, Begins: cell.Begins, Ends: cell.Ends}, wantLease: Lease{Known: true, Seq: 8, Granted: 100, Spent: 70, Closed: true}},
		{name: "it closes what it never heard of", move: with(func(m *Move) { m.Close, m.Known, m.Spent = true, 50, 50 }), status: Closed, granted: 100, available: 1940,
			want: &Cell{Limit: 2000, Rev: 4, Charged: 60, Folded: 60, Begins: cell.Begins, Ends: cell.Ends}, wantLease: Lease{Known: true, Seq: 8, Granted: 100, Spent: 50, Closed: true}},
	} {
		s.cell = cell
		if !s.lease.Known {
			s.lease = lease
		}
		s.run(t)
	}
}

// TestFirstMoves: the ledger has no row of the lease, and perhaps none of the limit.
func TestFirstMoves(t *testing.T) {
	t.Parallel()
	for _, s := range []step{
		{name: "the first of all", move: Move{Seq: 1, Hold: 10, Limit: 100, Rev: 2, Told: told}, status: Open, granted: 10, available: 90,
			want: &Cell{Limit: 100, Rev: 2, Charged: 10}, wantLease: Lease{Known: true, Seq: 1, Granted: 10}},
		{name: "it closes at once", move: Move{Seq: 1, Limit: 100, Told: told, Close: true}, status: Closed},
		{name: "it has no number", move: Move{Hold: 10, Limit: 100, Told: told}, status: Stale},
		{name: "it does not know the time", move: Move{Seq: 1, Hold: 10, Limit: 100}, status: Old},
		{name: "the ledger forgot the limit", move: Move{Seq: 9, Known: 60, Spent: 20, Limit: 100, Told: told}, status: Open, granted: 60, available: 40,
			want: &Cell{Limit: 100, Charged: 60}, wantLease: Lease{Known: true, Seq: 9, Granted: 60, Spent: 20}},
		{name: "the ledger forgot the lease", cell: Cell{Limit: 100, Charged: 50, Folded: 50}, move: Move{Seq: 9, Known: 60, Spent: 20, Hold: 50, Limit: 100, Told: told},
			status: Open, granted: 60, available: -10, want: &Cell{Limit: 100, Charged: 110, Folded: 50}, wantLease: Lease{Known: true, Seq: 9, Granted: 60, Spent: 20}},
		{name: "the ledger forgot the lease that closes", cell: Cell{Limit: 100}, move: Move{Seq: 9, Known: 60, Spent: 20, Limit: 100, Told: told, Close: true}, status: Closed, available: 100},
	} {
		s.run(t)
	}
}

// TestHealing: a ledger that knows less than a process does is charged again.
func TestHealing(t *testing.T) {
	t.Parallel()
	cell := Cell{Limit: 100, Charged: 40, Folded: 10}
	lease := Lease{Known: true, Seq: 1, Granted: 30, Spent: 5}
	for _, s := range []step{
		{name: "an older grant", move: Move{Known: 20, Spent: 6}, status: Open, granted: 30, available: 60, want: &Cell{Limit: 100, Charged: 40, Folded: 10}, wantLease: Lease{Granted: 30, Spent: 6}},
		{name: "a grant that was lost", move: Move{Known: 45, Spent: 6}, status: Open, granted: 45, available: 45, want: &Cell{Limit: 100, Charged: 55, Folded: 10}, wantLease: Lease{Granted: 45, Spent: 6}},
		{name: "spent without a grant", move: Move{Known: 30, Spent: 45}, status: Open, granted: 45, available: 45, want: &Cell{Limit: 100, Charged: 55, Folded: 10}, wantLease: Lease{Granted: 45, Spent: 45}},
		{name: "beyond the limit", move: Move{Known: 95, Spent: 90, Hold: 50, Need: 50}, status: Open, granted: 95, available: -5, want: &Cell{Limit: 100, Charged: 105, Folded: 10}, wantLease: Lease{Granted: 95, Spent: 90}},
		{name: "spent beyond the limit", move: Move{Known: 30, Spent: 95}, status: Open, granted: 95, available: -5, want: &Cell{Limit: 100, Charged: 105, Folded: 10}, wantLease: Lease{Granted: 95, Spent: 95}},
		{name: "and closed", move: Move{Known: 45, Spent: 40, Close: true}, status: Closed, granted: 45, available: 50, want: &Cell{Limit: 100, Charged: 50, Folded: 50}, wantLease: Lease{Granted: 45, Spent: 40, Closed: true}},
	} {
		s.cell, s.lease = cell, lease
		s.move.Seq, s.move.Limit, s.move.Told = 2, 100, told
		s.wantLease.Known, s.wantLease.Seq = true, 2
		s.run(t)
	}
}

// TestGrantSizes: an eighth to whoever would like more, all to whoever needs it.
func TestGrantSizes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                           string
		unspent, available, hold, need int64
		want                           int64
	}{
		{"plenty", 0, 1000, 100, 0, 100},
		{"it has some", 30, 1000, 100, 0, 70},
		{"it has enough", 100, 1000, 100, 0, 0},
		{"it has more than enough", 150, 1000, 100, 0, 0},
		{"an eighth", 0, 1000, 500, 0, 125},
		{"an eighth of what is left, whatever it has", 300, 1000, 500, 0, 125},
		{"somebody waits for less than that", 0, 1000, 500, 60, 125},
		{"somebody waits for more than that", 0, 1000, 500, 200, 200},
		{"and there is some already", 50, 1000, 500, 200, 150},
		{"all of it", 0, 1000, 2000, 1000, 1000},
		{"more than there is", 0, 1000, 2000, 1500, 1000},
		{"need without hold", 0, 1000, 0, 200, 200},
		{"eight are left", 0, 8, 5, 0, 1},
		{"seven are left", 0, 7, 5, 0, 0},
		{"seven are left, and one waits", 0, 7, 5, 1, 1},
		{"one is left, and one waits", 0, 1, 5, 1, 1},
		{"one is left, and two wait", 0, 1, 5, 2, 1},
		{"nothing is left", 0, 0, 5, 5, 0},
		{"less than nothing is left", 0, -20, 5, 5, 0},
		{"nonsense", 0, 100, -5, -5, 0},
		{"nonsense that was spent", -50, 1000, 10, 0, 60},
	} {
		if got := grant(tt.unspent, tt.available, &Move{Hold: tt.hold, Need: tt.need}); got != tt.want {
			t.Errorf("%s: %d granted, want %d", tt.name, got, tt.want)
		}
	}
}

// TestLoweredLimit: nothing is granted until enough is given back.
func TestLoweredLimit(t *testing.T) {
	t.Parallel()
	cell, lease := Cell{Limit: 100, Rev: 1, Charged: 80, Folded: 50}, Lease{Known: true, Granted: 30, Spent: 10}
	for i, tt := range []struct {
		move      Move
		granted   int64
		available int64
	}{
		{Move{Limit: 60, Rev: 2, Spent: 10, Hold: 40, Need: 40}, 30, -20},
		{Move{Limit: 100, Rev: 1, Spent: 15, Hold: 40, Need: 40}, 30, -20},
		{Move{Limit: 80, Rev: 3, Spent: 20, Hold: 40, Need: 40}, 30, 0},
		{Move{Limit: 90, Rev: 4, Spent: 20, Hold: 40, Need: 40}, 40, 0},
		{Move{Limit: 90, Rev: 4, Spent: 20, Close: true}, 40, 20},
	} {
		tt.move.Seq, tt.move.Told = uint64(i)+1, told
		if a := Apply(&cell, &lease, &tt.move, told); a.Granted != tt.granted || a.Available != tt.available {
			t.Errorf("move %d: %+v, want %d granted and %d available", i, a, tt.granted, tt.available)
		}
	}
}

// FuzzApply makes three leases of one limit move as the bytes say, and looks at what
// must hold after each move.
func FuzzApply(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x00\x40\x10\x60\x03\x00\x00\x40\x08"))
	f.Add([]byte("\x04\x21\x90\x11\x08\x7f\x01\x00\x81\x42\x30\x50\x24\x00\xff\x11\x12\x13"))
	f.Fuzz(func(t *testing.T, script []byte) {
		var cell Cell
		var leases [3]Lease
		now := int64(told)
		number := func() (n int64) { // 0 to 2^48, of either sign
			if len(script) < 2 {
				script = nil
				return 0
			}
			n = int64(script[0]) << (script[1] % 41)
			if script[1] >= 0xf0 {
				n = -n
			}
			script = script[2:]
			return n
		}
		for range 40 { // so that no sum leaves 64 bits
			if len(script) == 0 {
				return
			}
			flags := script[0]
			script = script[1:]
			lease := &leases[flags%3]
			m := Move{Seq: lease.Seq + 1, Spent: lease.Spent + number(), Hold: number(), Need: number(), Known: lease.Granted, Limit: cell.Limit, Rev: cell.Rev, Told: now}
			m.Spent = min(m.Spent, 1<<48)
			if flags&4 != 0 {
				m.Limit, m.Rev = number(), cell.Rev+number()
			}
			if flags&8 != 0 {
				m.Known = number()
			}
			if flags&16 != 0 {
				m.Begins, m.Ends = noon+number(), noon+number()
			}
			if flags&32 != 0 {
				m.Seq, m.Told = uint64(number()), now-number()
			}
			m.Close = flags&64 != 0
			if flags&128 != 0 {
				now += number()
			}
			wasCell, wasLease := cell, *lease
			answer := Apply(&cell, lease, &m, now)
			checkApplied(t, &m, answer, wasCell, cell, wasLease, *lease)
			charged := cell.Folded
			for _, l := range leases {
				if !l.Closed {
					charged += l.Granted
				}
			}
			if cell.Charged != charged {
				t.Fatalf("charged %d, but leases and folded are %d: %+v %+v", cell.Charged, charged, cell, leases)
			}
			if lease.Closed && flags&2 != 0 {
				*lease = Lease{} // a new one
			}
		}
	})
}

// checkApplied checks one move for what must hold whatever it says.
func checkApplied(t *testing.T, m *Move, a Answer, wasCell, cell Cell, wasLease, lease Lease) {
	t.Helper()
	changed := cell != wasCell || lease != wasLease
	changes := a.Status == Open || a.Status == Closed && m.Close && !wasLease.Closed && wasLease.Known
	if a.Status == None || changed != changes {
		t.Fatalf("status %d, and changed is %v:\n%+v\n%+v\n%+v\n%+v", a.Status, changed, *m, a, wasLease, lease)
	}
	if a.Granted != lease.Granted || a.Limit != cell.Limit || a.Rev != cell.Rev || a.Available != cell.Limit-cell.Charged {
		t.Fatalf("%+v is not what is stored: %+v %+v", a, cell, lease)
	}
	healed := max(0, max(m.Known, m.Spent)-wasLease.Granted)
	if granted := lease.Granted - wasLease.Granted - healed; changed && granted != 0 {
		if granted < 0 || cell.Charged > cell.Limit || granted > max(m.Hold, m.Need)-(wasLease.Granted+healed-m.Spent) {
			t.Fatalf("%d were granted to %+v: %+v %+v", granted, *m, cell, lease)
		}
	}
	if lease.Granted < wasLease.Granted || changed && lease.Seq <= wasLease.Seq || cell.Rev < wasCell.Rev || wasLease.Closed && !lease.Closed {
		t.Fatalf("what only grows went back: %+v %+v, before %+v %+v", cell, lease, wasCell, wasLease)
	}
	if cell.Charged < wasCell.Charged && !lease.Closed {
		t.Fatalf("without a close less is charged: %+v, before %+v", cell, wasCell)
	}
}
