package limiter

import "time"

// charge is one plan's part of a Take.
type charge struct {
	plan *Plan
	key  uint64
	slot int // of its entry in the shard, -1 for none
	state
	used int64 // of its minute
}

// charges are the plans of one Take, each name once.
type charges struct {
	list   [MaxPlans]charge
	n      int
	spared bool // some were taken out again, by spare
}

// add notes a plan that has limits and reports whether all is well.
func (cs *charges) add(mixed uint64, p *Plan) bool {
	if p == nil || p.hash == 0 {
		return false
	}
	if p.unlimited() {
		return true
	}
	key := keyOf(mixed, p)
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

// spare takes a plan in shadow out, which is then not charged.
func (cs *charges) spare(i int) {
	copy(cs.list[i:], cs.list[i+1:cs.n])
	cs.n--
	cs.spared = true
}

func (cs *charges) has(p *Plan) bool {
	for i := range cs.n {
		if cs.list[i].plan == p {
			return true
		}
	}
	return false
}

// keyOf finds the entry of a mixed subject under a plan.
func keyOf(mixed uint64, p *Plan) uint64 {
	return max(mix(mixed+p.hash), 1) // zero marks a free slot
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
	for i := 0; i < cs.n; {
		c := &cs.list[i]
		c.load(s, at)
		c.weigh(at, res)
		if c.plan.Shadow && c.refuses(at) {
			if spend {
				s.settle(c)
			}
			cs.spare(i)
			continue
		}
		missing = missing || c.slot < 0
		i++
	}
	switch {
	case res.Verdict == Allowed && missing && !t.makeRoom(s, &cs, at, spend) && !s.spareShadows(&cs):
		res.clear()
		if spend {
			t.full.Add(1)
		}
	case !spend:
	case res.Verdict == Allowed:
		s.store(&cs, at, res, missing)
	default:
		for i := range cs.n {
			s.settle(&cs.list[i])
		}
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
		c.used = c.window.used()
	}
}

// weigh asks each limit of the plan and spends nothing.
func (c *charge) weigh(now int64, res *Result) {
	if c.plan.interval > 0 {
		st := res.Next()
		c.bucket.stand(st, now, c.plan)
		if wait := c.bucket.wait(now, c.plan); wait > 0 {
			st.Refused = true
			res.refuse(c.plan, RefusedBurst, wait)
		}
	}
	if c.plan.PerMinute > 0 {
		st := res.Next()
		c.window.stand(st, now, c.plan, c.used)
		if wait := c.window.wait(now, c.plan.PerMinute, c.used); wait > 0 {
			st.Refused = true
			res.refuse(c.plan, RefusedMinute, wait)
		}
	}
}

// refuses reports whether a limit of the plan does.
func (c *charge) refuses(now int64) bool {
	return c.plan.interval > 0 && c.bucket.wait(now, c.plan) > 0 ||
		c.plan.PerMinute > 0 && c.window.wait(now, c.plan.PerMinute, c.used) > 0
}

// store spends one request of every limit and brings the standings up to it.
func (s *shard) store(cs *charges, now int64, res *Result, missing bool) {
	for i := range cs.n {
		c := &cs.list[i]
		if c.plan.interval > 0 {
			c.bucket.spend(now, c.plan)
		}
		if c.plan.PerMinute > 0 {
			c.window.spend(now, c.plan.PerMinute, c.used)
		}
		if missing { // making room may have moved or dropped any entry
			s.put(c.key, &c.state)
		} else {
			s.set(c.slot, &c.state)
		}
	}
	for i := range res.Count {
		st := &res.Standings[i]
		if cs.spared && !cs.has(st.Plan) {
			continue
		}
		st.Remaining = max(0, st.Remaining-1) // see window.ahead
		switch {
		case st.Kind == KindBurst:
			st.Reset += time.Duration(st.Plan.interval)
		case st.Reset == 0: // the first use after idle
			st.Reset = st.Window
		}
	}
}

// settle keeps the entry of a request that it refused as it stands at its time. That
// spends nothing; it lets an entry that was brought back to now (see skew) go on
// from there.
func (s *shard) settle(c *charge) {
	if c.slot >= 0 {
		s.set(c.slot, &c.state)
	}
}
