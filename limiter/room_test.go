package limiter

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func TestTable_SizesAreAsCounted(t *testing.T) {
	t.Parallel()
	if got := 8 + unsafe.Sizeof(state{}); got != slotBytes {
		t.Errorf("a slot takes %d bytes, want %d", got, slotBytes)
	}
	if got := unsafe.Sizeof(shard{}); got != shardBytes {
		t.Errorf("a shard takes %d bytes, want %d", got, shardBytes)
	}
}

func TestTable_MillionTokensFit(t *testing.T) {
	t.Parallel()
	tab := table(t, 256<<20)
	if got := tab.Bytes(); got > 64<<10 {
		t.Errorf("an empty table takes %d bytes", got)
	}
	p := plan(t, "default", Burst{50, 100}, 1000)
	plans := []*Plan{p}
	var res Result
	worst := 0.0 // bytes an entry, wherever the growth happens to stand
	for i := range Subject(1_000_000) {
		if tab.Take(epoch, i, plans, &res); res.Verdict != Allowed {
			t.Fatalf("token %d: %v", i, res.Verdict)
		}
		if i > 500_000 && i%1000 == 0 {
			worst = max(worst, float64(tab.Bytes())/float64(i))
		}
	}
	if got := tab.Bytes(); got > 64<<20 {
		t.Errorf("10⁶ tokens take %d bytes, want at most 64 MiB", got)
	}
	if worst*1e6 > 64<<20 {
		t.Errorf("at its worst an entry takes %.1f bytes", worst)
	}
	if got := tab.Len(); got != 1_000_000 {
		t.Errorf("got %d entries", got)
	}
	for i := range Subject(1_000_000) {
		if i%997 != 0 {
			continue
		}
		if tab.Look(epoch, i, plans, &res); res.Standings[1].Remaining != 999 {
			t.Fatalf("token %d was lost: %d left", i, res.Standings[1].Remaining)
		}
	}
	tab.Reclaim(at(59 * time.Second))
	if got := tab.Len(); got != 1_000_000 {
		t.Errorf("Reclaim dropped active entries: %d left", got)
	}
	tab.Reclaim(at(time.Minute))
	if n, b := tab.Len(), tab.Bytes(); n != 0 || b > 64<<10 {
		t.Errorf("after a minute: %d entries, %d bytes", n, b)
	}
}

// fill takes with new subjects until the table refuses one, and returns those
// that it holds.
func fill(t *testing.T, tab *Table, d time.Duration, p *Plan) (held []Subject) {
	t.Helper()
	for i := range Subject(1 << 20) {
		who := i + Subject(d)<<20
		switch v := take(tab, d, who, p).Verdict; v {
		case Allowed:
			held = append(held, who)
		case Full:
			return held
		default:
			t.Fatalf("subject %d: %v", i, v)
		}
	}
	t.Fatal("the table never fills")
	return nil
}

func TestTable_FullKeepsActiveAndRecovers(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{minBytes, 1 << 20, 4 << 20} {
		tab := table(t, size)
		p := plan(t, "p", Burst{0.1, 2}, 3)
		held := fill(t, tab, 0, p)
		if got, least := len(held), int(size/slotBytes*7/10); got < least {
			t.Errorf("%d bytes: full with %d entries, want at least %d", size, got, least)
		}
		if tab.Bytes() > size {
			t.Errorf("%d bytes in use, want at most %d", tab.Bytes(), size)
		}
		if tab.Full() != 1 {
			t.Errorf("got %d refused for want of room, want 1", tab.Full())
		}
		newcomers, refused := 0, int64(1)
		for i := range Subject(20_000) {
			who := math.MaxUint64 - i
			l, got := look(tab, 30*time.Second, who, p), take(tab, 30*time.Second, who, p)
			if l.Verdict != got.Verdict {
				t.Fatalf("Look says %v, Take %v", l.Verdict, got.Verdict)
			}
			if got.Verdict == Allowed {
				newcomers++
			} else if got.Verdict != Full || got.Count != 0 || got.RetryAfter != 0 {
				t.Fatalf("got %+v", got)
			} else {
				refused++
			}
		}
		if got := tab.Full(); got != refused {
			t.Errorf("got %d refused for want of room, want %d", got, refused)
		}
		if got := tab.Len(); got != len(held)+newcomers {
			t.Errorf("got %d entries, want %d: an active one was dropped", got, len(held)+newcomers)
		}
		for _, who := range held { // all still know their one use, and go on
			res := take(tab, 30*time.Second, who, p)
			if res.Verdict != Allowed || res.Standings[1].Remaining != 1 {
				t.Fatalf("an active entry was lost: %v, %d left", res.Verdict, res.Standings[1].Remaining)
			}
		}
		// Their last uses leave at 90 s.
		if v := take(tab, 90*time.Second-1, math.MaxUint64, p).Verdict; newcomers == 0 && v != Full {
			t.Errorf("before they are idle: got %v", v)
		}
		again := fill(t, tab, 91*time.Second, p)
		if got := len(again); got < len(held)*9/10 {
			t.Errorf("after idle: room for %d, want about %d", got, len(held))
		}
		if tab.Bytes() > size {
			t.Errorf("%d bytes in use, want at most %d", tab.Bytes(), size)
		}
	}
}

// A plan made faster can make entries idle long before the time that a sweep
// found for them.
func TestTable_FullNoticesFasterPlans(t *testing.T) {
	t.Parallel()
	tab := table(t, minBytes)
	slow, fast := plan(t, "p", Burst{1.0 / 3600, 1}, 0), plan(t, "p", Burst{10, 1}, 0)
	held := fill(t, tab, 0, slow)
	for _, who := range held {
		take(tab, time.Second, who, fast)
	}
	if got := take(tab, 2*time.Second, math.MaxUint64, fast).Verdict; got != Allowed {
		t.Errorf("got %v, want allowed: all others are idle", got)
	}
}

func TestTable_ReusesIdleBeforeItGrows(t *testing.T) {
	t.Parallel()
	tab := table(t, 64<<20)
	p := plan(t, "p", Burst{1, 10}, 0) // idle a second after one use
	var peak int64
	for i := range Subject(100_000) { // 1000 new subjects a second
		take(tab, time.Duration(i)*time.Millisecond, i, p)
		peak = max(peak, tab.Bytes())
	}
	if want := int64(3000*slotBytes + maxShards*(shardBytes+firstSlots*slotBytes)); peak > want {
		t.Errorf("1000 active entries took %d bytes, want at most %d", peak, want)
	}
}

// TestTable_FullIsNotSearchedEachTime counts sweeps by what they leave behind: a
// sweep sets the time before which none is due.
func TestTable_FullIsNotSearchedEachTime(t *testing.T) {
	t.Parallel()
	tab := table(t, minBytes)
	// Entries that fall idle one after the other: always one is about to.
	p := plan(t, "p", Burst{500, 10}, 0)
	sweeps, last := 0, int64(0)
	const takes = 300_000 // a microsecond apart
	for i := range Subject(takes) {
		take(tab, time.Duration(i)*time.Microsecond, i, p)
		if rest := tab.shards[0].rest; rest != last {
			sweeps, last = sweeps+1, rest
		}
	}
	if tab.Full() == 0 {
		t.Fatal("the table was never full")
	}
	slots := int64(len(tab.shards[0].keys))
	if most := takes*1000/(slots*restPerSlot) + 10; int64(sweeps) > most {
		t.Errorf("got %d sweeps, want at most %d", sweeps, most)
	}
	// While all are active none is due at all.
	tab = table(t, minBytes)
	minutes := plan(t, "minutes", Burst{}, 5)
	fill(t, tab, 0, minutes)
	last, sweeps = tab.shards[0].rest, 0
	for i := range Subject(100_000) {
		take(tab, time.Second+time.Duration(i)*100*time.Microsecond, 1<<40+i, minutes)
		if tab.shards[0].rest != last {
			t.Fatal("a sweep while no entry could be idle")
		}
	}
}

// TestShard_AgainstMap checks the hash table itself, through growth, sweeps and
// shrinking.
func TestShard_AgainstMap(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		tab := table(t, minBytes)
		s := &tab.shards[0]
		want := map[uint64]int64{}
		now := int64(0)
		for range 4000 {
			now += rnd.Int64N(100)
			key := rnd.Uint64() | 1
			if rnd.IntN(2) == 0 { // near the end of the range, where probes wrap
				key |= 0xff << 56
			}
			cs := charges{n: 1, list: [MaxPlans]charge{{key: key}}}
			if !tab.makeRoom(s, &cs, now, true) {
				t.Fatal("full")
			}
			st := state{bucket{tat: now + rnd.Int64N(50_000)}, window{newest: now}}
			s.put(key, &st)
			want[key] = st.tat
			switch rnd.IntN(200) {
			case 0:
				s.sweep(now)
			case 1:
				tab.reclaimShard(s, now)
			case 2:
				now += 40_000
			}
			if rnd.IntN(50) == 0 {
				checkShard(t, tab, want, now)
			}
		}
	}
}

func checkShard(t *testing.T, tab *Table, want map[uint64]int64, now int64) {
	t.Helper()
	s := &tab.shards[0]
	kept, earliest := 0, int64(math.MaxInt64)
	for key, tat := range want {
		i := s.find(key)
		switch {
		case i >= 0 && s.states[i].tat == tat:
			kept++
			earliest = min(earliest, tat)
		case i >= 0:
			t.Fatalf("key %x has another's state", key)
		case tat > now:
			t.Fatalf("active key %x was lost", key)
		default:
			delete(want, key)
		}
	}
	if s.count != kept || s.earliest > earliest {
		t.Fatalf("got count %d, earliest %d, want %d, at most %d", s.count, s.earliest, kept, earliest)
	}
	if got := int64(len(s.keys)*slotBytes + shardBytes); tab.Bytes() != got {
		t.Fatalf("got %d bytes counted, want %d", tab.Bytes(), got)
	}
}

func TestTable_TakeOfTwoPlansInAFullTable(t *testing.T) {
	t.Parallel()
	tab := table(t, minBytes)
	p, q := plan(t, "p", Burst{}, 5), plan(t, "q", Burst{}, 5)
	held := fill(t, tab, 0, p)
	res := take(tab, time.Second, held[0], p, q) // q would be new
	if res.Verdict != Full {
		t.Errorf("got %v, want full", res.Verdict)
	}
	if got := look(tab, time.Second, held[0], p).Standings[0].Remaining; got != 4 {
		t.Errorf("got %d left, want 4: the plan that had room was charged alone", got)
	}
	// An entry of its own that is idle is dropped by the sweep and put back.
	if res := take(tab, 2*time.Minute, held[1], p, q); res.Verdict != Allowed {
		t.Errorf("after idle: got %v", res.Verdict)
	}
	if got := tab.Len(); got != 2 {
		t.Errorf("got %d entries, want 2", got)
	}
}

func TestTable_ConcurrentUse(t *testing.T) {
	t.Parallel()
	tab := table(t, 1<<20)
	p, q := plan(t, "p", Burst{100, 5}, 50), plan(t, "q", Burst{}, 10)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 3))
			for i := range 20_000 {
				now := time.Duration(i) * 10 * time.Millisecond
				who := Subject(rnd.IntN(30_000))
				switch rnd.IntN(500) {
				case 0:
					tab.Reclaim(at(now))
				case 1:
					tab.Len()
				case 2:
					look(tab, now, who, p, q)
				default:
					take(tab, now, who, p, q)
				}
				if b := tab.Bytes(); b > 1<<20 {
					t.Errorf("%d bytes in use", b)
				}
			}
		})
	}
	wg.Wait()
	tab.Reclaim(at(time.Hour))
	if n, b := tab.Len(), tab.Bytes(); n != 0 || b != int64(len(tab.shards)*shardBytes) {
		t.Errorf("at the end: %d entries, %d bytes", n, b)
	}
}
