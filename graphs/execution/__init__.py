"""Running networks that others wrote: any inputs, in float64, without a trace left behind."""
