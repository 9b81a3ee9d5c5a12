package node

// checkDescriptors: there is no such limit.
func checkDescriptors() error { return nil }
