package tokens

import (
	"container/list"
	"crypto/sha256"
	"time"
)

// What entries weigh, in bytes: introspectionCost beside the token (the links of
// list and map, the digest, the call and its channel), refusalCost for the reason
// of a refusal.
const (
	introspectionCost = 400
	refusalCost       = 300
)

// introspectionCache remembers calls that have ended, by the digest of the whole
// token. It holds max bytes; then the entry that was used longest ago makes room,
// which costs another call and decides nothing. Its owner's mutex guards it.
type introspectionCache struct {
	max, used int64
	entries   map[[sha256.Size]byte]*list.Element
	order     list.List // of *introspectionEntry, the one used last in front
}

type introspectionEntry struct {
	digest [sha256.Size]byte
	call   *call
	until  time.Time
	cost   int64
}

// get returns nil when nothing is known or no longer holds.
func (c *introspectionCache) get(digest *[sha256.Size]byte, now time.Time) *call {
	element := c.entries[*digest]
	if element == nil {
		return nil
	}
	entry := element.Value.(*introspectionEntry)
	if !now.Before(entry.until) {
		c.drop(element)
		return nil
	}
	c.order.MoveToFront(element)
	return entry.call
}

func (c *introspectionCache) put(digest *[sha256.Size]byte, ended *call, until time.Time, cost int64) {
	if old := c.entries[*digest]; old != nil {
		c.drop(old)
	}
	entry := &introspectionEntry{digest: *digest, call: ended, until: until, cost: introspectionCost + cost}
	if entry.cost > c.max {
		return
	}
	if c.entries == nil {
		c.entries = map[[sha256.Size]byte]*list.Element{}
	}
	c.entries[*digest] = c.order.PushFront(entry)
	for c.used += entry.cost; c.used > c.max; {
		c.drop(c.order.Back())
	}
}

func (c *introspectionCache) drop(element *list.Element) {
	entry := c.order.Remove(element).(*introspectionEntry)
	delete(c.entries, entry.digest)
	c.used -= entry.cost
}
