package limiter

import "testing"

func TestForgiveForgetsTheMinuteOfOneSubject(t *testing.T) {
	t.Parallel()
	tab := table(t, 1<<20)
	strict, other := plan(t, "strict", Burst{1, 10}, 3), plan(t, "other", Burst{}, 3)
	for who := range Subject(2) {
		if got := takeN(tab, 5, 0, who+1, strict, other); got != 3 {
			t.Fatalf("subject %d: %d allowed, want 3", who, got)
		}
	}
	tab.Forgive(epoch, 1, []*Plan{strict, plan(t, "never used", Burst{}, 1)})
	res := look(tab, 0, 1, strict)
	if res.Verdict != Allowed || res.Standings[0].Remaining != 7 || res.Standings[1].Remaining != 3 {
		t.Errorf("got %v, %d left of the burst and %d of the minute, want 7 and 3", res.Verdict, res.Standings[0].Remaining, res.Standings[1].Remaining)
	}
	if res := look(tab, 0, 1, other); res.Verdict != RefusedMinute {
		t.Errorf("under another plan: got %v", res.Verdict)
	}
	if res := look(tab, 0, 2, strict); res.Verdict != RefusedMinute {
		t.Errorf("another subject: got %v", res.Verdict)
	}
}
