package limiter

import "time"

// skew is how far a request's now may lie behind what an entry has already
// seen and still count as a straggler: goroutines read the clock before they
// reach the table, and not in the order in which they reach it. A straggler
// finds the entry as it is, which gives it nothing extra. Beyond skew the clock
// itself was set back, or the plan was replaced by a much faster one, and the
// entry is brought back to now with its budget used up, so that nobody waits
// for a time that is far away.
const skew = int64(10 * time.Second)

// bucket is a token bucket kept as one number, the generic cell rate
// algorithm (ITU-T I.371): the theoretical arrival time of the next request of a
// caller who paces at exactly the rate, in nanoseconds since the table's epoch.
// How far it lies ahead of now is how empty the bucket is; at or behind now the
// bucket is full.
type bucket struct{ tat int64 }

// advance brings the bucket to now and under p's limits.
func (b *bucket) advance(now int64, p *Plan) {
	if b.tat > now+p.fill+skew {
		b.tat = now + p.fill
	}
}

// backlog is the time until the bucket is full.
func (b *bucket) backlog(now int64) int64 {
	if b.tat <= now {
		return 0
	}
	return b.tat - now
}

// remaining is how many requests pass at now.
func (b *bucket) remaining(now int64, p *Plan) int64 {
	// A backlog above fill comes from stragglers and from plans that were replaced.
	return max(0, (p.fill-b.backlog(now))/p.interval)
}

// wait is the time until a request passes, zero when it passes now.
func (b *bucket) wait(now int64, p *Plan) int64 {
	return max(0, b.backlog(now)+p.interval-p.fill)
}

func (b *bucket) spend(now int64, p *Plan) {
	b.tat = max(b.tat, now) + p.interval
}

func (b *bucket) stand(st *Standing, now int64, p *Plan) {
	st.Plan, st.Kind, st.Limit, st.Window, st.Near = p, KindBurst, p.Burst.Size, p.window, p.nearBurst
	st.Remaining, st.Reset = b.remaining(now, p), time.Duration(b.backlog(now))
}
