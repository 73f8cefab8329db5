package twilio

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ts tokens
		token := ts.issue(ticket{account: "a", call: "c"})
		if _, ok := ts.use(token, "a", "other", "s"); ok {
			t.Error("a token admits another call")
		}
		if _, ok := ts.use(token, "b", "c", "s"); ok {
			t.Error("a token admits another account")
		}
		time.Sleep(tokenLifetime)
		if _, ok := ts.use(token, "a", "c", "s"); !ok {
			t.Error("a token is refused within its life")
		}
		time.Sleep(24 * time.Hour)
		if _, ok := ts.use(token, "a", "c", "s"); !ok {
			t.Error("a stream that lives may not come again")
		}
		ts.release(token)
		ts.release(token)
		time.Sleep(reconnectGrace + time.Second)
		if _, ok := ts.use(token, "a", "c", "s"); ok {
			t.Error("a stream that ended long ago may come again")
		}
		late := ts.issue(ticket{account: "a", call: "c"})
		time.Sleep(tokenLifetime + time.Second)
		if _, ok := ts.use(late, "a", "c", "s"); ok {
			t.Error("an unused token lives too long")
		}
		ts.issue(ticket{})
		if n := len(ts.byKey); n != 1 {
			t.Errorf("%d tokens are kept; want the new one", n)
		}
	})
}

func TestTokensAreBounded(t *testing.T) {
	var ts tokens
	live := ts.issue(ticket{account: "a", call: "c"})
	if _, ok := ts.use(live, "a", "c", "s"); !ok {
		t.Fatal("the token is refused")
	}
	for range maxTokens + 50 {
		ts.issue(ticket{})
	}
	if len(ts.byKey) > maxTokens {
		t.Errorf("%d tokens are kept; want at most %d", len(ts.byKey), maxTokens)
	}
	if _, ok := ts.use(live, "a", "c", "s"); !ok {
		t.Error("the token of a live stream was thrown away")
	}
}

func TestTokensDiffer(t *testing.T) {
	var ts tokens
	if a, b := ts.issue(ticket{}), ts.issue(ticket{}); a == b || len(a) < 26 {
		t.Errorf("tokens %q and %q", a, b)
	}
}
