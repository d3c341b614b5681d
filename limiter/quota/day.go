package quota

import "time"

// day is one calendar day of a time zone: a window of the limits that count by it.
type day struct {
	label        int32 // days since 1970-01-01
	begins, ends int64 // unix seconds; the day is from begins on, before ends
}

// has reports whether a time lies in the day.
func (d day) has(unix int64) bool { return unix >= d.begins && unix < d.ends }

// length is 24 hours, but where the clocks change.
func (d day) length() time.Duration { return time.Duration(d.ends-d.begins) * time.Second }

// dayOf returns the day of a zone in which a time lies.
func dayOf(unix int64, zone *time.Location) day {
	year, month, date := time.Unix(unix, 0).In(zone).Date()
	return day{
		label:  int32(time.Date(year, month, date, 0, 0, 0, 0, time.UTC).Unix() / secondsOfDay),
		begins: startOfDay(year, month, date, zone),
		ends:   startOfDay(year, month, date+1, zone),
	}
}

const secondsOfDay = 24 * 60 * 60

// startOfDay is the first moment of a date. Midnight may be skipped by a zone, or the
// whole date, and it may come twice.
func startOfDay(year int, month time.Month, date int, zone *time.Location) int64 {
	t := time.Date(year, month, date, 0, 0, 0, 0, zone)
	start, end := t.ZoneBounds()
	wanted := time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
	if _, offset := t.Zone(); t.Unix()+int64(offset) != wanted.Unix() {
		// Skipped: the date begins when the clocks were put forward. Date has taken the
		// offset of before that, or of after.
		if t.Unix()+int64(offset) < wanted.Unix() {
			return end.Unix()
		}
		return start.Unix()
	}
	if !start.IsZero() {
		_, after := t.Zone()
		_, before := start.Add(-time.Second).Zone()
		if first := t.Add(-time.Duration(before-after) * time.Second); before > after && first.Before(start) {
			return first.Unix() // it comes twice
		}
	}
	return t.Unix()
}
