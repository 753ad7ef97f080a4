package proxy

import (
	"errors"
	"testing"
	"time"

	"sluice/proxy/auth"
)

// lapsedKey is a credential that is good for ten seconds from 0, and for twenty
// while IAM is away; it ends by itself at ends, 0 for never.
func lapsedKey(ends time.Duration) *credential {
	id := auth.NewIdentity("u", "acme", []string{"writer"})
	id.Expires, id.GraceEnd = time.Unix(10, 0), time.Unix(20, 0)
	if ends != 0 {
		id.Ends = time.Unix(0, int64(ends))
	}
	k := new(credential)
	k.know(id, []byte("t"), 0)
	return k
}

func TestCredentialIsAskedAboutByOne(t *testing.T) {
	all, k := new(sockets), lapsedKey(0)
	if v := k.look(int64(10*time.Second), all); v != counts || all.rechecks.Load() != 0 {
		t.Errorf("too early: %v", v)
	}
	now := int64(11 * time.Second)
	if v := k.look(now, all); v != mustAsk || all.rechecks.Load() != 1 {
		t.Errorf("%v, %d places taken", v, all.rechecks.Load())
	}
	if v := k.look(now, all); v != counts || all.rechecks.Load() != 1 {
		t.Errorf("while somebody asks: %v, %d places taken", v, all.rechecks.Load())
	}
	who := k.who
	if v := k.answer(who, nil, now); v != counts || k.checkAt != now+int64(recheckLeast) {
		t.Errorf("an answer that lapsed on its way: %v, %+v", v, k)
	}
	if v := k.look(now+int64(recheckLeast)+1, all); v != mustAsk {
		t.Errorf("then: %v", v)
	}
}

func TestCredentialIsLostOnce(t *testing.T) {
	const second = int64(time.Second)
	full := new(sockets)
	full.rechecks.Store(maxRechecks)
	away := errors.Join(auth.ErrUnavailable)
	for name, c := range map[string]struct {
		ends time.Duration
		step func(k *credential) verdict
		want verdict
	}{
		"refused":                 {0, func(k *credential) verdict { return k.answer(nil, auth.ErrRefused, 11*second) }, revoked},
		"denied":                  {0, func(k *credential) verdict { return k.answer(nil, auth.ErrDenied, 11*second) }, revoked},
		"away within the grace":   {0, func(k *credential) verdict { return k.answer(nil, away, 20*second) }, counts},
		"away for longer":         {0, func(k *credential) verdict { return k.answer(nil, away, 20*second+1) }, unchecked},
		"no place":                {0, func(k *credential) verdict { return k.look(20*second, full) }, counts},
		"no place for longer":     {0, func(k *credential) verdict { return k.look(20*second+1, full) }, unchecked},
		"over":                    {5 * time.Second, func(k *credential) verdict { return k.look(5*second+1, full) }, ended},
		"over while IAM says no":  {12 * time.Second, func(k *credential) verdict { return k.answer(nil, auth.ErrRefused, 13*second) }, ended},
		"over while IAM is away":  {12 * time.Second, func(k *credential) verdict { return k.answer(nil, away, 13*second) }, ended},
		"yes, and over meanwhile": {12 * time.Second, func(k *credential) verdict { return k.answer(k.who, nil, 13*second) }, counts},
	} {
		k := lapsedKey(c.ends)
		if v := c.step(k); v != c.want || (k.who != nil) != (v == counts) {
			t.Errorf("%s: verdict %d, want %d; %+v", name, v, c.want, k)
		}
		if k.who == nil && k.look(60*second, new(sockets)) != counts {
			t.Errorf("%s: lost a second time", name)
		}
	}
	if full.rechecks.Load() != maxRechecks {
		t.Errorf("%d places taken", full.rechecks.Load())
	}
	k := lapsedKey(0)
	if k.answer(nil, away, 11*second); k.checkAt != 11*second+int64(recheckPause) {
		t.Errorf("asked again at %v", time.Unix(0, k.checkAt))
	}
}
