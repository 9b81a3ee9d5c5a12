package wire_test

import (
	"fmt"

	"shoal/transfer/wire"
)

func Example() {
	frame := wire.Append(nil, wire.Request{Handle: 7, Runs: []wire.Run{{First: 0, Count: 3}}})
	fmt.Printf("%x\n", frame)

	h := wire.ParseHeader(frame)
	if err := h.Check(); err != nil {
		fmt.Println(err)
	}
	m, err := wire.Decode(h.Kind, frame[wire.HeaderSize:])
	fmt.Printf("%+v %v\n", m, err)
	// Output:
	// 0000000e050000000700010000000000000003
	// {Handle:7 Runs:[{First:0 Count:3}]} <nil>
}
