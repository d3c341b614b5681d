package quota

import (
	"testing"
	"time"
	_ "time/tzdata"
)

// In every zone and around every day of some eventful years, days follow one
// another without a gap, each with a later label, and each has one beginning: there is
// one reset a day (bar B17).
func TestB17_DaysFollowEachOtherInEveryZone(t *testing.T) {
	t.Parallel()
	zones := []string{
		"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "America/Asuncion", "America/Santiago", "America/Scoresbysund",
		"Asia/Beirut", "Asia/Amman", "Asia/Tehran", "Asia/Kathmandu", "Asia/Gaza", "Atlantic/Azores", "Africa/Cairo", "Africa/Casablanca",
		"Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kiritimati", "Pacific/Chatham", "Pacific/Fakaofo", "Antarctica/Troll",
	}
	for _, name := range zones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for year := 2008; year <= 2028; year += 1 {
			unix := time.Date(year, 1, 1, 12, 0, 0, 0, zone).Unix()
			last := time.Date(year+1, 1, 1, 12, 0, 0, 0, zone).Unix()
			d := dayOf(unix, zone)
			for unix < last {
				length := d.ends - d.begins
				if length < 20*3600 || length > 28*3600 {
					t.Fatalf("%s: day %d has %d s (%v to %v)", name, d.label, length, time.Unix(d.begins, 0).In(zone), time.Unix(d.ends, 0).In(zone))
				}
				next := dayOf(d.ends, zone)
				if next.begins != d.ends || next.label <= d.label {
					t.Fatalf("%s: after day %+v comes %+v", name, d, next)
				}
				if before := dayOf(d.ends-1, zone); before != d {
					t.Fatalf("%s: the last second of day %+v is of %+v", name, d, before)
				}
				d, unix = next, next.begins
			}
		}
	}
}

func TestB17_LeapDayAndDSTDays(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		at    string
		hours int64
	}{
		{"2024-02-28T23:59:59+01:00", 24}, {"2024-02-29T12:00:00+01:00", 24}, {"2024-03-31T12:00:00+02:00", 23}, {"2024-10-27T12:00:00+01:00", 25},
	} {
		at, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		d := dayOf(at.Unix(), berlin)
		if got := (d.ends - d.begins) / 3600; got != tt.hours || !d.has(at.Unix()) {
			t.Errorf("%s: got a day of %d hours (%+v), want %d with that time in it", tt.at, got, d, tt.hours)
		}
	}
}
