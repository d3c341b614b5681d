package limiter

import "time"

// charge is one plan's part of a Take.
type charge struct {
	plan *Plan
	key  uint64
	slot int // of its entry in the shard, -1 for none
	state
}

// charges are the plans of one Take, each name once.
type charges struct {
	list [MaxPlans]charge
	n    int
}

// add notes a plan that has limits and reports whether all is well.
func (cs *charges) add(mixed uint64, p *Plan) bool {
	if p == nil || p.hash == 0 {
		return false
	}
	if p.unlimited() {
		return true
	}
	key := mix(mixed + p.hash)
	if key == 0 {
		key = 1 // zero marks a free slot
	}
	for i := range cs.n {
		if cs.list[i].key == key {
			return true
		}
	}
	if cs.n == MaxPlans {
		return false
	}
	cs.list[cs.n].plan, cs.list[cs.n].key = p, key
	cs.n++
	return true
}

func (t *Table) decide(now time.Time, who Subject, plans []*Plan, res *Result, spend bool) {
	res.clear()
	at, mixed := t.nanoseconds(now), mix(uint64(who))
	var cs charges
	for _, p := range plans {
		if !cs.add(mixed, p) {
			return
		}
	}
	res.Verdict = Allowed
	if cs.n == 0 {
		return
	}

	s := &t.shards[mixed>>t.shift]
	s.mu.Lock()
	defer s.mu.Unlock()
	missing := false
	for i := range cs.n {
		c := &cs.list[i]
		c.load(s, at)
		c.weigh(at, res)
		missing = missing || c.slot < 0
	}
	switch {
	case res.Verdict == Allowed && missing && !t.makeRoom(s, &cs, at, spend):
		res.clear()
		if spend {
			t.full.Add(1)
		}
	case !spend:
	case res.Verdict == Allowed:
		s.store(&cs, at, res, missing)
	default:
		s.settle(&cs)
	}
}

// load reads the entry as it stands at now.
func (c *charge) load(s *shard, now int64) {
	c.slot = s.find(c.key)
	if c.slot < 0 {
		c.state = state{bucket{tat: now}, window{newest: now}}
		return
	}
	c.state = s.states[c.slot]
	if c.plan.interval > 0 {
		c.bucket.advance(now, c.plan)
	}
	if c.plan.PerMinute > 0 {
		c.window.advance(now)
	}
}

// weigh asks each limit of the plan and spends nothing.
func (c *charge) weigh(now int64, res *Result) {
	if c.plan.interval > 0 {
		st := c.bucket.standing(now, c.plan)
		if wait := c.bucket.wait(now, c.plan); wait > 0 {
			st.Refused = true
			res.refuse(RefusedBurst, wait)
		}
		res.add(st)
	}
	if c.plan.PerMinute > 0 {
		st := c.window.standing(now, c.plan)
		if wait := c.window.wait(now, c.plan.PerMinute); wait > 0 {
			st.Refused = true
			res.refuse(RefusedMinute, wait)
		}
		res.add(st)
	}
}

// store spends one request of every limit and brings the standings up to it.
func (s *shard) store(cs *charges, now int64, res *Result, missing bool) {
	for i := range cs.n {
		c := &cs.list[i]
		if c.plan.interval > 0 {
			c.bucket.spend(now, c.plan)
		}
		if c.plan.PerMinute > 0 {
			c.window.spend(now, c.plan.PerMinute)
		}
		if missing { // making room may have moved or dropped any entry
			s.put(c.key, &c.state)
		} else {
			s.set(c.slot, &c.state)
		}
	}
	for i := range res.Count {
		st := &res.Standings[i]
		st.Remaining = max(0, st.Remaining-1) // see window.ahead
		switch {
		case st.Kind == KindBurst:
			st.Reset += time.Duration(st.Plan.interval)
		case st.Reset == 0: // the first use after idle
			st.Reset = st.Window
		}
	}
}

// settle keeps the entries of a refused request as they stand at its time. That
// spends nothing; it lets an entry that was brought back to now (see skew) go on
// from there.
func (s *shard) settle(cs *charges) {
	for i := range cs.n {
		if c := &cs.list[i]; c.slot >= 0 {
			s.set(c.slot, &c.state)
		}
	}
}
