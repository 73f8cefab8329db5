package pace

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(20 * time.Millisecond)
		begun := time.Now()
		var at []time.Duration
		pl := p.Add(func(n int) bool {
			if n != len(at) {
				t.Errorf("block %d after %d", n, len(at)-1)
			}
			at = append(at, time.Since(begun))
			return n < 4
		})
		<-pl.Done()
		if last := at[len(at)-1]; len(at) != 5 || last < 80*time.Millisecond || last > 100*time.Millisecond {
			t.Errorf("five blocks went out at %v; want 20ms between them", at)
		}
		halted := p.Add(func(int) bool { return true })
		halted.Halt()
		<-halted.Done()
		endless := p.Add(func(int) bool { return true })
		p.Close()
		<-endless.Done()
	})
}
