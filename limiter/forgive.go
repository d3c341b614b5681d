package limiter

import "time"

// Forgive forgets what who has used of per_minute under some plans, as if the first use
// were still to come: for people who decide that it did not count. Bursts are over
// soon enough by themselves.
func (t *Table) Forgive(now time.Time, who Subject, plans []*Plan) {
	at, mixed := t.nanoseconds(now), mix(uint64(who))
	s := &t.shards[mixed>>t.shift]
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range plans {
		if i := s.find(keyOf(mixed, p)); i >= 0 {
			st := s.states[i]
			st.window = window{newest: at}
			s.set(i, &st)
		}
	}
}
