package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/tollgate-authz/tollgate/limiter"
	"github.com/tollgate-authz/tollgate/limiter/quota"
)

// asHolder makes the test binary play a process that spends from the ledger in the
// file named, until it is killed. Its own name is in the other one.
const (
	asHolder   = "TOLLGATE_TEST_LEDGER"
	holderName = "TOLLGATE_TEST_HOLDER"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(asHolder); path != "" {
		log.Fatal(hold(path, os.Getenv(holderName)))
	}
	os.Exit(m.Run())
}

// killed is the limit that is drained, of killedLimit.
var killed = quota.CellID{Limit: quota.NewLimitID(limiter.KindTotalRequests, "total", "default", "killed")}

const killedLimit = 3000

// told is what a holder knows of a lease by an answer: it prints that, and spends
// no more than that.
type told struct {
	number         uint64
	granted, spent int64
	closed         bool
}

const toldFormat = "%d %d %d %t\n"

// hold takes a little, spends it, and closes its lease now and then.
func hold(path, name string) error {
	number, err := strconv.Atoi(name)
	if err != nil {
		return err
	}
	db, err := Open(context.Background(), Config{Path: path})
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(uint64(number), 2))
	lease := quota.Move{Cell: killed, Lease: quota.LeaseID{Process: quota.ProcessID{byte(number)}, Number: 1}, Limit: killedLimit}
	answers := make([]quota.Answer, 1)
	for {
		m := &lease
		m.Seq++
		m.Told = time.Now().UnixMilli()
		m.Spent += r.Int64N(m.Known - m.Spent + 1)
		m.Need = 1 + r.Int64N(7)
		m.Close = m.Seq > 1 && r.IntN(20) == 0
		if err := db.Ledger().Move(context.Background(), []quota.Move{*m}, answers); err != nil {
			return err
		}
		m.Known = answers[0].Granted
		if _, err := fmt.Printf(toldFormat, m.Lease.Number, m.Known, m.Spent, m.Close); err != nil {
			return err // nobody listens any more
		}
		if m.Close {
			m.Lease.Number++
			m.Seq, m.Known, m.Spent = 0, 0, 0
		}
	}
}

// TestLedgerSurvivesKill kills holders in the middle of their work: what they were
// told is never forgotten, and all of them were never given more than the limit.
func TestLedgerSurvivesKill(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	db := open(t, Config{Path: path})
	r := rand.New(rand.NewPCG(20, 26))
	var promised int64 // what holders may have spent by what they were told
	answers := 0
	for round := range 20 {
		last := runKilled(t, path, round+1, 20+r.IntN(160))
		for _, l := range last {
			answers++
			promised += l.granted
			if l.closed {
				promised -= l.granted - l.spent
			}
			probe := quota.Move{Cell: killed, Lease: quota.LeaseID{Process: quota.ProcessID{byte(round + 1)}, Number: l.number}, Told: time.Now().UnixMilli()}
			got := make([]quota.Answer, 1)
			if err := db.Ledger().Move(t.Context(), []quota.Move{probe}, got); err != nil {
				t.Fatal(err)
			}
			if a := got[0]; a.Status != quota.Closed && (l.closed || a.Status != quota.Stale || a.Granted < l.granted) {
				t.Errorf("round %d: a holder was told %+v, and the ledger says %+v", round, l, a)
			}
		}
		usage, err := db.Ledger().Usage(t.Context(), []quota.CellID{killed})
		if err != nil {
			t.Fatal(err)
		}
		if charged := usage[0].Spent + usage[0].Leased; charged > killedLimit || charged < promised {
			t.Fatalf("round %d: %d are charged of %d, and holders were promised %d", round, charged, killedLimit, promised)
		}
	}
	if promised < killedLimit*9/10 {
		t.Errorf("only %d of %d were taken", promised, killedLimit)
	}
	var says string
	if err := db.writer.QueryRow(`PRAGMA integrity_check`).Scan(&says); err != nil || says != "ok" {
		t.Errorf("integrity_check says %q, %v", says, err)
	}
	t.Logf("%d leases; holders were promised %d of %d", answers, promised, killedLimit)
}

// runKilled runs a holder, kills it behind that many answers, and returns the last
// that it was told of each lease.
func runKilled(t *testing.T, path string, name, answers int) (last []told) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	holder := exec.Command(self)
	holder.Env = append(os.Environ(), asHolder+"="+path, holderName+"="+strconv.Itoa(name))
	holder.Stderr = os.Stderr
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); answers-- {
		var l told
		if _, err := fmt.Sscanf(lines.Text()+"\n", toldFormat, &l.number, &l.granted, &l.spent, &l.closed); err != nil {
			t.Errorf("the holder said %q: %v", lines.Text(), err)
		}
		if n := len(last); n > 0 && last[n-1].number == l.number {
			last[n-1] = l
		} else {
			last = append(last, l)
		}
		if answers == 0 {
			if err := holder.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := holder.Wait(); answers > 0 || !errors.As(err, &exit) {
		t.Errorf("the holder ended by itself: %v", err)
	}
	return last
}
