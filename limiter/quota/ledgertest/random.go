package ledgertest

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// randomMoves leads the ledger and the model through the same moves, in batches, and
// compares what both say.
func randomMoves(t *testing.T, w *world, seed uint64) {
	const moves = 2500
	g := &generator{
		Rand: rand.New(rand.NewPCG(6+seed, 2026)), world: w, model: newModel(), limits: map[quota.CellID]*limits{},
		last: map[quota.CellID][]quota.Move{}, over: map[quota.CellID]int64{}, gone: map[quota.LeaseID]bool{},
	}
	statuses := map[quota.Status]int{}
	for made := 0; made < moves; {
		g.pass()
		batch := make([]quota.Move, 1+g.IntN(1+g.IntN(64)))
		for i := range batch {
			batch[i] = g.move()
		}
		g.compare(batch, statuses)
		made += len(batch)
		if t.Failed() {
			t.Fatalf("after %d moves", made)
		}
	}
	for s := quota.Open; s <= quota.Old; s++ {
		if statuses[s] < 10 {
			t.Errorf("only %d answers of status %d: %v", statuses[s], s, statuses)
		}
	}
}

// generator makes moves, most of them such as a process would make.
type generator struct {
	*rand.Rand
	*world
	model  *model
	limits map[quota.CellID]*limits
	last   map[quota.CellID][]quota.Move // to repeat some
	over   map[quota.CellID]int64        // by how much a limit was exceeded when the ledger was asked last
	leases uint64
	gone   map[quota.LeaseID]bool // swept: such a lease tells no lines any more
}

// limits are those that a cell had, by revision, and how much nonsense it has heard:
// sums must stay within quota.Most.
type limits struct {
	of       []int64
	nonsense int
}

// compare makes the moves of a batch and looks at what the ledger says, of each of
// them and of their cells.
func (g *generator) compare(batch []quota.Move, statuses map[quota.Status]int) {
	var cells []quota.CellID
	for i := range batch {
		if id := batch[i].Cell; !slices.Contains(cells, id) {
			cells = append(cells, id)
		}
	}
	answers := g.moves(batch...)
	usages := g.usage(cells...)
	charged := map[quota.CellID]int64{} // as the last answer has it
	excused := map[quota.CellID]bool{}  // it may be over its limit
	for i := range batch {
		m := &batch[i]
		was, lease := g.model.cell(m.Cell), g.model.lease(m)
		want := g.model.move(m, g.millis())
		statuses[want.Status]++
		if answers[i] != want {
			g.t.Errorf("move %+v of\n%+v in\n%+v was answered\n%+v, want\n%+v", *m, lease, was, answers[i], want)
		}
		charged[m.Cell] = answers[i].Limit - answers[i].Available
		is := g.model.cell(m.Cell)
		excused[m.Cell] = excused[m.Cell] || is.Limit < was.Limit || max(m.Known, m.Spent) > lease.Granted
	}
	for i, id := range cells {
		u := usages[i]
		diff(g.t, "usage", u, g.model.usage(id, g.millis()))
		if u.Spent+u.Leased != charged[id] {
			g.t.Errorf("%d are charged by the last answer, but %+v", charged[id], u)
		}
		over := max(0, u.Spent+u.Leased-u.Limit)
		if over > g.over[id] && !excused[id] {
			g.t.Errorf("%d over the limit, %d before: %+v", over, g.over[id], u)
		}
		g.over[id] = over
	}
	if g.IntN(10) == 0 {
		diff(g.t, "lines", g.lines("acme"), g.model.sumOf("acme"))
	}
}

// pass lets time pass, mostly little, and sweeps now and then.
func (g *generator) pass() {
	switch n := g.IntN(100); {
	case n < 60:
		g.advance(time.Duration(g.IntN(3000)) * time.Millisecond)
	case n < 80:
		g.advance(time.Duration(g.IntN(120)) * time.Second)
	case n < 97:
		g.advance(time.Duration(g.IntN(60)) * time.Minute)
	default:
		g.advance(time.Duration(g.IntN(30)) * time.Hour)
	}
	if g.IntN(25) > 0 {
		return
	}
	g.sweep()
	g.model.sweep(g.millis())
	for _, moves := range g.last {
		for i := range moves {
			if m := &moves[i]; m.Seq > 0 && !g.model.lease(m).Known {
				g.gone[m.Lease] = true
			}
		}
	}
}

func (g *generator) move() quota.Move {
	id := cell([]string{"day", "total", "wallet"}[g.IntN(3)], 0)
	if id == cell("day", 0) {
		id.Window = day(g.now()) + []int32{-3, -2, -1, 0, 0, 0, 0, 0, 1}[g.IntN(9)]
	}
	moves := g.last[id]
	if len(moves) > 0 && g.IntN(20) == 0 {
		m := moves[g.IntN(len(moves))] // it was repeated, or was late
		if g.gone[m.Lease] {
			m.Lines = nil
		}
		return m
	}
	m := g.next(id)
	g.last[id] = append(moves, m)
	if len(moves) > 40 {
		g.last[id] = slices.Delete(moves, 0, 20)
	}
	return m
}

// next is the next move of one of the leases that were used last, or of a new one.
func (g *generator) next(id quota.CellID) quota.Move {
	m := quota.Move{Cell: id, Told: g.millis() - g.Int64N(5000)}
	if moves := g.last[id]; len(moves) > 0 && g.IntN(12) > 0 {
		m.Lease = moves[max(0, len(moves)-1-g.IntN(12))].Lease
	} else {
		g.leases++
		m.Lease = quota.LeaseID{Process: quota.ProcessID{byte(g.IntN(3))}, Number: g.leases}
	}
	if id.Window != 0 {
		m.Begins = int64(id.Window) * 24 * 60 * 60
		m.Ends = m.Begins + 24*60*60
	}
	lease := g.model.lease(&m)
	m.Seq = lease.Seq + 1 + uint64(g.IntN(2)*g.IntN(3))
	m.Known = lease.Granted - g.Int64N(1+g.Int64N(1+max(0, lease.Granted))) // answers were lost
	m.Spent = max(lease.Spent, lease.Spent+g.Int64N(1+max(0, lease.Granted-lease.Spent)))
	m.Hold = g.Int64N(1 + g.Int64N(300))
	m.Need = g.Int64N(2) * g.Int64N(1+m.Hold)
	m.Close = g.IntN(15) == 0
	l := g.limitsOf(id)
	newest := len(l.of) - 1
	m.Rev = int64(max(0, newest-g.IntN(2)*g.IntN(3)))
	m.Limit = l.of[m.Rev]
	if id == cell("wallet", 0) && !g.gone[m.Lease] {
		m.Lines = g.someLines()
	}
	if g.IntN(25) == 0 && l.nonsense < 14 {
		l.nonsense++
		g.spoil(&m)
	}
	if g.IntN(60) == 0 {
		g.spoilTimes(&m)
	}
	return m
}

func (g *generator) limitsOf(id quota.CellID) *limits {
	l := g.limits[id]
	if l == nil {
		l = &limits{of: []int64{g.Int64N(5000)}}
		g.limits[id] = l
	}
	if g.IntN(30) == 0 {
		l.of = append(l.of, max(0, l.of[len(l.of)-1]+g.Int64N(4000)-1200))
	}
	return l
}

func (g *generator) someLines() []quota.Line {
	lines := make([]quota.Line, g.IntN(4))
	for i := range lines {
		n := g.Int64N(500)
		price := []int64{0, 1, 20_000, 999_999}[g.IntN(4)]
		lines[i] = quota.Line{Account: "acme", Hour: g.now().Truncate(time.Hour).Unix() - g.Int64N(2)*3600, What: []string{"", "GET /contacts", "PUT /é"}[g.IntN(3)], Price: price, Spent: n * price, Count: n}
	}
	return lines
}

// spoil says nonsense of one amount.
func (g *generator) spoil(m *quota.Move) {
	amount := g.Int64N(1 << g.IntN(49))
	if g.IntN(2) == 0 {
		amount = -amount
	}
	*[]*int64{&m.Spent, &m.Known, &m.Hold, &m.Need, &m.Limit}[g.IntN(5)] = amount
}

// spoilTimes says nonsense of what no sum is made of.
func (g *generator) spoilTimes(m *quota.Move) {
	switch g.IntN(5) {
	case 0:
		m.Seq = g.Uint64N(1 << 48)
	case 1:
		m.Told = []int64{0, -1, m.Told - 3_590_000 - g.Int64N(20_000), m.Told + g.Int64N(1<<40)}[g.IntN(4)]
	case 2:
		m.Begins = g.now().Unix() + g.Int64N(200) - 20
	case 3:
		m.Ends = g.now().Unix() - g.Int64N(2*24*60*60) + 10
	case 4:
		m.Rev += g.Int64N(5) - 2
	}
}
