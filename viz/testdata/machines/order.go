package machines

import "github.com/looplab/fsm"

// CheckoutEvents: an order of Spree (spree/spree, core/app/models/spree/order/checkout.rb).
var CheckoutEvents = fsm.Events{
	{Name: "next", Src: []string{"cart"}, Dst: "address"},
	{Name: "next", Src: []string{"address"}, Dst: "delivery"},
	{Name: "next", Src: []string{"delivery"}, Dst: "payment"},
	{Name: "next", Src: []string{"payment"}, Dst: "confirm"},
	{Name: "next", Src: []string{"confirm"}, Dst: "complete"},
	{Name: "skip payment", Src: []string{"delivery"}, Dst: "confirm"},
	{Name: "skip confirmation", Src: []string{"delivery", "payment"}, Dst: "complete"},
	{Name: "cancel", Src: []string{"complete", "resumed"}, Dst: "canceled"},
	{Name: "resume", Src: []string{"canceled"}, Dst: "resumed"},
	{Name: "authorize return", Src: []string{"complete", "resumed"}, Dst: "awaiting return"},
	{Name: "return", Src: []string{"awaiting return"}, Dst: "returned"},
	{Name: "edit", Src: []string{"address", "delivery", "payment", "confirm"}, Dst: "cart"},
	{Name: "cancel return", Src: []string{"awaiting return"}, Dst: "complete"},
}

// Order holds its own machine, as a model does.
type Order struct{ FSM *fsm.FSM }

// NewCheckout returns the machine of an empty cart.
func NewCheckout() *fsm.FSM {
	o := &Order{}
	o.FSM = fsm.NewFSM("cart", CheckoutEvents, fsm.Callbacks{})
	return o.FSM
}
