"""Which kernel computes how many rows."""

from qprobe.documents.plan import KernelRange


def every(*kernels):
    """The kernels one after another, the first up to 4 rows."""
    if len(kernels) == 1:
        return (KernelRange(kernel=kernels[0], m_min=1, m_max=None),)
    return (
        KernelRange(kernel=kernels[0], m_min=1, m_max=4),
        KernelRange(kernel=kernels[1], m_min=5, m_max=None),
    )
