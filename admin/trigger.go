package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/lastcall-go/lastcall/internal/foreign"
)

// RequestError is the cause of a shutdown that was asked for over HTTP.
type RequestError struct {
	Peer string // the address from which the request came
}

func (e *RequestError) Error() string { return "asked for over HTTP by " + e.Peer }

// minToken is the shortest token, in bytes, that cannot be guessed.
const minToken = 16

// Rule says who may trigger the shutdown over HTTP.
type Rule func(*trigger)

// Methods says which methods trigger, instead of POST. The preStop hook httpGet of
// Kubernetes sends GET.
func Methods(methods ...string) Rule {
	return func(t *trigger) {
		if len(methods) == 0 {
			t.fail("Methods was given none")
		}
		for _, m := range methods {
			if m == "" || strings.ToUpper(m) != m || strings.ContainsAny(m, " ,\t\r\n") {
				t.fail("Methods was given %q, which is not a method such as \"POST\"", m)
			}
		}
		t.methods = slices.Clone(methods)
	}
}

// Loopback lets requests through that come from the machine itself, and name it by an
// address or as localhost. kubelet's do not: they come from the node. A proxy on the
// same machine makes those of all clients do.
func Loopback() Rule {
	return func(t *trigger) {
		t.guarded = true
		t.checks = append(t.checks, func(r *http.Request) (int, string) {
			from, err := netip.ParseAddrPort(r.RemoteAddr)
			if err != nil || !from.Addr().Unmap().IsLoopback() {
				return http.StatusForbidden, "only requests from this machine are allowed"
			}
			if !namesAddress(r.Host) {
				return http.StatusForbidden, "only requests for an IP address or for localhost are allowed"
			}
			return 0, ""
		})
	}
}

// From lets requests through that come from one of the networks, for example that of
// the nodes.
func From(networks ...netip.Prefix) Rule {
	return func(t *trigger) {
		t.guarded = true
		if len(networks) == 0 {
			t.fail("From was given no network")
		}
		for _, n := range networks {
			if !n.IsValid() {
				t.fail("From was given %v, which is not a network", n)
			}
		}
		networks := slices.Clone(networks)
		for i, n := range networks {
			if n.Addr().Is4In6() && n.Bits() >= 96 { // peers are compared without that
				networks[i] = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
			}
		}
		t.checks = append(t.checks, func(r *http.Request) (int, string) {
			from, err := netip.ParseAddrPort(r.RemoteAddr)
			inside := func(n netip.Prefix) bool { return n.Contains(from.Addr().Unmap().WithZone("")) }
			if err != nil || !slices.ContainsFunc(networks, inside) {
				return http.StatusForbidden, "requests from this address are not allowed"
			}
			return 0, ""
		})
	}
}

// Token lets requests through that have the header "Authorization: Bearer " with the
// token, of 16 bytes at least. It is never logged.
func Token(token string) Rule {
	return func(t *trigger) {
		t.guarded = true
		if len(token) < minToken {
			t.fail("Token was given %d bytes; a token that cannot be guessed has at least %d", len(token), minToken)
		}
		if strings.TrimSpace(token) != token || strings.ContainsFunc(token, unicode.IsControl) {
			t.fail("Token was given a token that no request can have: it has a line end or another control character, or space around it")
		}
		want := sha256.Sum256([]byte(token))
		t.checks = append(t.checks, func(r *http.Request) (int, string) {
			scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			got := sha256.Sum256([]byte(given))
			if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
				return http.StatusUnauthorized, "the token is missing or wrong"
			}
			return 0, ""
		})
	}
}

// trigger is a handler that triggers.
type trigger struct {
	ctl     Controller
	methods []string
	guarded bool // a rule says who
	checks  []func(*http.Request) (code int, why string)
	errs    []error
}

func (t *trigger) fail(format string, args ...any) {
	t.errs = append(t.errs, fmt.Errorf("admin: "+format, args...))
}

// Trigger returns a handler that triggers the shutdown, for the preStop hook httpGet
// of Kubernetes, or for a script. A request has to keep every rule, and there has to
// be one of [Loopback], [From] and [Token]; without more the method is POST.
// Requests that a browser has sent for a web page are refused.
//
// The answer is 202, at once, with ready false and where the shutdown was in that
// moment: it may not have begun yet, and [Readiness] tells the deadline later. A request that comes when the shutdown has begun changes nothing
// and gets the same answer; and so does the first signal that follows, which does
// not force. kubelet sends its SIGTERM when the hook has been answered, so its grace
// period and the budget then begin at the same time.
func Trigger(ctl Controller, rules ...Rule) (http.Handler, error) {
	t := &trigger{ctl: ctl, methods: []string{http.MethodPost}}
	if foreign.IsNil(ctl) {
		t.fail("the controller is nil")
	}
	for i, rule := range rules {
		if rule == nil {
			t.fail("rule %d of Trigger is nil", i+1)
			continue
		}
		rule(t)
	}
	if !t.guarded {
		t.fail("Trigger needs a rule that says who may shut this process down: Loopback(), From(networks...) or Token(token)")
	}
	if len(t.errs) > 0 {
		return nil, errors.Join(t.errs...)
	}
	return t, nil
}

func (t *trigger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !slices.Contains(t.methods, r.Method) {
		refuseMethod(w, strings.Join(t.methods, ", "))
		return
	}
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		http.Error(w, "requests of web pages are not allowed", http.StatusForbidden)
		return
	}
	for _, check := range t.checks {
		if code, why := check(r); code != 0 {
			if code == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			http.Error(w, why, code)
			return
		}
	}
	t.ctl.Shutdown(&RequestError{Peer: r.RemoteAddr})
	p := now(t.ctl)
	ready := false
	p.Ready = &ready
	answer(w, http.StatusAccepted, p)
}

// namesAddress reports whether the host of a request is an IP address or localhost, and
// no name that a web page may have pointed at this machine.
func namesAddress(host string) bool {
	if at, err := netip.ParseAddrPort(host); err == nil {
		return at.IsValid()
	}
	name, _, _ := strings.Cut(host, ":")
	if name == "localhost" {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
