"""The first steps of the README: gradients, and gradients of gradients."""

import minigrad as mg

x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
(x**3).sum().backward()
print("gradient 3x²:", x.grad)

slope = mg.grad((x**3).sum(), x, create_graph=True)
print("and again 6x:", mg.grad(slope.sum(), x))
