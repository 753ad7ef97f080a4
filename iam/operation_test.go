package iam

import (
	"strings"
	"testing"
)

func TestUnknownOperations(t *testing.T) {
	w := newWorld(t, Config{})
	const prefix = "invalid-argument: unknown or not-yet-implemented operation: "
	for request, literal := range map[string]string{
		`{"operation":"nope"}`:          `'nope'`,
		`{}`:                            `''`,
		`{"operation":""}`:              `''`,
		`{"operation":null}`:            `None`,
		`{"operation":"it's"}`:          `"it's"`,
		`{"operation":"Login"}`:         `'Login'`,
		`{"operation":"delete-all\n"}`:  `'delete-all\n'`,
		`{"operation":"unknown"}`:       `'unknown'`,
		`{"OPERATION":"login"}`:         `''`,
		`{"operation":"config:get"}`:    `'config:get'`,
		`{"operation":"delete-worksp"}`: `'delete-worksp'`,
	} {
		w.refuse(request, prefix+literal)
	}
}

// TestInternalErrorsAreGeneric is defect D30.
func TestInternalErrorsAreGeneric(t *testing.T) {
	for name, store := range map[string]Store{
		"error": failingStore{NewMemory(), errDriver},
		"panic": panickingStore{NewMemory()},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Config{})
			w.Service.store = store
			w.refuse(`{"operation":"get-user","workspace":"w","user_id":"u"}`, "internal-error: internal error")
			if !strings.Contains(w.logged(), "secret detail") {
				t.Error("the detail is not in the log")
			}
		})
	}
}

func TestAudit(t *testing.T) {
	w, admin := seeded(t)
	w.grant(`{"operation":"create-user","actor":"boss","workspace":"default","user":{"username":"alice","password":"hidden"}}`)
	w.refuse(`{"operation":"login","actor":"gw","username":"`+strings.Repeat("x", 500)+`","password":"hidden"}`, "auth-failed: no such user")
	w.grant(`{"operation":"get-user","workspace":"default","user_id":"` + admin.UserID + `"}`)
	lines := strings.Count(w.logged(), "IAM audit")
	if lines != 2 {
		t.Errorf("%d audit lines:\n%s", lines, w.logged())
	}
	for _, want := range []string{
		"operation=create-user actor=boss target=",
		"workspace=default outcome=ok",
		"operation=login actor=gw target=" + strings.Repeat("x", 128) + "... workspace=default outcome=auth-failed reason=\"no such user\"",
	} {
		if !strings.Contains(w.logged(), want) {
			t.Errorf("no %q in\n%s", want, w.logged())
		}
	}
	w.checkNoSecrets("hidden")
}

func TestValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  Config
		want string
	}{
		"bootstrap":         {Config{Mode: ModeBootstrap}, ""},
		"token":             {Config{Mode: ModeToken, Token: "tg_0123456789abcdef"}, ""},
		"no mode":           {Config{}, "iam-svc: --bootstrap-mode is required.  Set to"},
		"odd mode":          {Config{Mode: "x"}, `iam-svc: invalid bootstrap mode "x"`},
		"no token":          {Config{Mode: ModeToken}, "iam-svc: --bootstrap-mode=token requires --bootstrap-token.  Refusing to start."},
		"token not allowed": {Config{Mode: ModeBootstrap, Token: "tg_0123456789abcdef"}, "iam-svc: --bootstrap-token is not accepted when --bootstrap-mode=bootstrap.  Ambiguous intent.  Refusing to start."},
		"token unusable":    {Config{Mode: ModeToken, Token: "0123456789abcdef"}, "iam-svc: the bootstrap token must start with"},
		"token short":       {Config{Mode: ModeToken, Token: "tg_short"}, "iam-svc: the bootstrap token must start with"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(NewMemory(), tc.cfg)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want)) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if err != nil && tc.cfg.Token != "" && strings.Contains(err.Error(), tc.cfg.Token) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}
