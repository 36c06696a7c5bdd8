package admit

import (
	"math/rand"
	"net/netip"
	"testing"
	"time"

	"goinetd/config"
)

// Peek says what Reserve and Enter then do.
func TestPeek(t *testing.T) {
	for seed := range int64(300) {
		dice := rand.New(rand.NewSource(seed))
		pick := func(values ...int) int { return values[dice.Intn(len(values))] }
		l := Limits{Instances: pick(0, 0, 3, -1), Queue: dice.Intn(2) == 0, PerSource: pick(0, 0, 2, -1), PerMinute: pick(0, 0, 5, -1), PerSourcePerMinute: pick(0, 0, 3, -1)}
		if dice.Intn(3) == 0 {
			l.CPS = config.Rate{Max: 2, Pause: time.Second}
		}
		if dice.Intn(3) == 0 {
			l.CPSPerSource = config.Rate{Max: 1, Pause: 2 * time.Second}
		}
		var g Gate
		var in []netip.Addr
		now := time.Duration(0)
		for step := range 200 {
			now += time.Duration(dice.Intn(3000)) * time.Millisecond
			if len(in) > 0 && dice.Intn(3) == 0 {
				i := dice.Intn(len(in))
				g.Leave(l, in[i])
				in = append(in[:i], in[i+1:]...)
			}
			from := netip.AddrFrom4([4]byte{192, 0, 2, byte(dice.Intn(3))})
			peeked := g.Peek(l, now, from)
			if again := g.Peek(l, now, from); again != peeked {
				t.Fatalf("seed %d, step %d: Peek says %q, then %q", seed, step, peeked, again)
			}
			got := Looped
			switch g.Reserve(l, now) {
			case Full: // the client waits
				continue
			case Granted:
				if got = g.Enter(l, now, from); got != "" {
					g.Cancel()
				} else {
					in = append(in, from)
				}
			}
			if got == Paused {
				got = PerSourceCPS
			}
			if got != peeked {
				t.Fatalf("seed %d, step %d, %+v: Peek says %q, and it is %q", seed, step, l, peeked, got)
			}
		}
	}
}
