"""The tour of the README: gradients, gradients of gradients, a small model and one step of an optimizer."""

import minigrad as mg
import nn
import optim

x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
(x**3).sum().backward()
print("gradient 3x²:", x.grad)

slope = mg.grad((x**3).sum(), x, create_graph=True)
print("and again 6x:", mg.grad(slope.sum(), x))

mg.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
optimizer = optim.Adam(model.parameters(), lr=0.01)
inputs, targets = mg.tensor([[0.0, 1.0], [1.0, 0.0]]), mg.tensor([[1.0], [-1.0]])
loss = nn.functional.mse_loss(model(inputs), targets)
loss.backward()
optimizer.step()
print(f"loss: {loss.item():.3f}, after a step: {nn.functional.mse_loss(model(inputs), targets).item():.3f}")
