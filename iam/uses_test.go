package iam

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestLastUsedIsKept is defect D27: it is written in the background, at most once
// a minute for each key.
func TestLastUsedIsKept(t *testing.T) {
	w, admin := seeded(t)
	resolve := `{"operation":"resolve-api-key","api_key":"` + admin.APIKey + `"}`
	lastUsed := func() string {
		return w.grant(`{"operation":"list-api-keys","workspace":"default","user_id":"` + admin.UserID + `"}`).APIKeys[0].LastUsed
	}
	w.grant(resolve)
	if got := lastUsed(); got != "" {
		t.Errorf("written while the caller waited: %s", got)
	}
	w.flushUses()
	const first = "2026-11-21T17:42:33.752000+00:00"
	if got := lastUsed(); got != first {
		t.Errorf("last used %s", got)
	}
	w.advance(59 * time.Second)
	w.grant(resolve)
	if w.flushUses(); lastUsed() != first || len(w.uses.pending) != 0 {
		t.Errorf("within the minute: %s", lastUsed())
	}
	w.advance(time.Second)
	w.refuse(`{"operation":"resolve-api-key","api_key":"tg_other"}`, "auth-failed: unknown api key")
	if w.flushUses(); lastUsed() != first {
		t.Errorf("after a refused look-up: %s", lastUsed())
	}
	w.grant(resolve)
	if w.flushUses(); lastUsed() != "2026-11-21T17:43:33.752000+00:00" {
		t.Errorf("a minute later: %s", lastUsed())
	}
}

func TestUsesAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := seeded(t)
		store := &countingTouches{Memory: w.store}
		w.Service.store = store
		go w.writeUses()
		for i := range maxPendingUses + 100 {
			w.noteUse(&APIKey{Hash: fmt.Sprint(i)})
		}
		synctest.Wait()
		time.Sleep(2 * useDelay)
		synctest.Wait()
		if store.calls != 1 || store.uses != maxPendingUses {
			t.Errorf("%d writes of %d uses", store.calls, store.uses)
		}
		w.noteUse(&APIKey{Hash: "last"})
		close(w.uses.stop)
		<-w.uses.done
		if store.calls != 2 {
			t.Error("what was gathered last was not written at the end")
		}
	})
}

type countingTouches struct {
	*Memory
	calls, uses int
}

func (c *countingTouches) TouchAPIKeys(_ context.Context, uses []KeyUse) error {
	c.calls++
	c.uses += len(uses)
	return errDriver // is logged, and no more
}
