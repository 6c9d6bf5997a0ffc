"""How far two computations of the same number may lie apart, and why.

One operation in float32 rounds by 2**-24 of its result, 6e-8. Another batch, thread count, kernel
or graph sums in another order, so the roundings differ; how far that carries depends on what lies
between. The tests compare numbers of about 1 to 10, so each of these is taken as relative or
absolute alike. A tolerance with another ground states it where it stands.
"""

# The same terms, summed in another order: their roundings mostly cancel.
SUMS = 1e-6
# The same layers in another shape or by another kernel: some hundred roundings in a row.
KERNELS = 1e-5
# What enlarges the error of `KERNELS`: the gradients of several layers, exp() of a loss or of a
# logit of about 10, a sum over the tokens of a text.
LAYERS = 1e-4
# ONNX Runtime's fused operators and approximations (GELU, softmax) beside PyTorch's, in what was
# a small probability.
GRAPHS = 1e-3
# A rounded number in a log, four digits behind the point.
LOGGED = 1.01e-4
