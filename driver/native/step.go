package native

// What davitd does on the host, and asks of monitors, it does in steps. Between any two of them it may be killed, or the step that
// follows may fail: nothing may be lost then, and nothing left. Tests see to that at each of them.

// OnStep has f called with the name of each step before it is taken. The step fails with what f returns; f may also wait, or end the
// process. It is for tests, and nothing but their code can call it; nil ends it.
func (d *Driver) OnStep(f func(name string) error) {
	if f == nil {
		d.hooks.step.Store(nil)
		return
	}
	d.hooks.step.Store(&f)
}

// takeStep is called before a step.
func (d *Driver) takeStep(name string) error {
	f := d.hooks.step.Load()
	if f == nil {
		return nil
	}
	return (*f)(name)
}

// step takes a step.
func (d *Driver) step(name string, take func() error) error {
	if err := d.takeStep(name); err != nil {
		return err
	}
	return take()
}
