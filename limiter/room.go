package limiter

// makeRoom reports whether the entries of cs that are missing fit, and sees to
// it if need be: first by dropping what is idle, then by growing. Without grow
// it only says whether it could grow.
func (t *Table) makeRoom(s *shard, cs *charges, now int64, grow bool) bool {
	if s.fits(cs, 0) {
		return true
	}
	if now >= s.earliest && now >= s.rest {
		s.sweep(now)
		s.rest = now + t.Bytes()/slotBytes*restPerSlot
		// A sweep that frees next to nothing would soon be due again: rather
		// grow, while there is memory.
		if s.fits(cs, len(s.keys)/16) {
			return true
		}
	}
	slots := s.nextSlots()
	switch extra := int64(slots-len(s.keys)) * slotBytes; {
	case !grow && t.Bytes()+extra <= t.maxBytes:
	case grow && t.reserve(extra):
		s.resize(slots)
	default:
		return s.fits(cs, 0)
	}
	return true
}

// fits reports whether the missing entries leave spare slots over.
func (s *shard) fits(cs *charges, spare int) bool {
	missing := 0
	for i := range cs.n {
		if s.find(cs.list[i].key) < 0 {
			missing++
		}
	}
	return s.count+missing+spare <= s.limit()
}

// spareShadows does without the entries of plans in shadow that are missing, for
// these refuse nothing, and reports whether the others fit.
func (s *shard) spareShadows(cs *charges) bool {
	for i := cs.n - 1; i >= 0; i-- {
		if c := &cs.list[i]; c.plan.Shadow && s.find(c.key) < 0 {
			cs.spare(i)
		}
	}
	return cs.spared && s.fits(cs, 0)
}

func (s *shard) nextSlots() int {
	if n := len(s.keys); n >= smallShard {
		return n + n/8
	}
	return max(firstSlots, 2*len(s.keys))
}

// reserve takes bytes from what the whole table may use. Shards share one
// budget: none refuses while there is memory.
func (t *Table) reserve(bytes int64) bool {
	for {
		used := t.bytes.Load()
		if used+bytes > t.maxBytes {
			return false
		}
		if t.bytes.CompareAndSwap(used, used+bytes) {
			return true
		}
	}
}

func (t *Table) reclaimShard(s *shard, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now >= s.earliest {
		s.sweep(now)
	}
	if s.count >= len(s.keys)/4 {
		return
	}
	slots := 0
	if s.count > 0 {
		slots = max(firstSlots, s.count+s.count/2)
	}
	t.bytes.Add(int64(slots-len(s.keys)) * slotBytes)
	s.resize(slots)
}
