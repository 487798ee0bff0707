//! The tensor: a shared, dynamic-rank array in row-major order.

use ndarray::{ArcArray, ArrayBase, ArrayD, ArrayViewD, Data, Dimension, IxDyn};

/// An array of any rank whose elements lie in row-major order without gaps. Clones and reshaped
/// tensors share the elements.
///
/// It wraps an [`ndarray::ArcArray`]; [`Tensor::from`] takes any `ndarray` array and copies only when
/// its layout is another one.
#[derive(Debug, PartialEq)]
pub struct Tensor<T>(ArcArray<T, IxDyn>);

impl<T> Clone for Tensor<T> {
    fn clone(&self) -> Self {
        Tensor(self.0.clone())
    }
}

/// A buffer whose length is not the product of the sizes asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutError {
    /// The sizes.
    pub shape: Vec<usize>,
    /// The length of the buffer.
    pub len: usize,
}

impl std::fmt::Display for LayoutError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} elements do not fill a tensor of shape {:?}", self.len, self.shape)
    }
}

impl std::error::Error for LayoutError {}

impl<T> Tensor<T> {
    /// A tensor over a row-major buffer.
    ///
    /// # Errors
    /// When the buffer's length is not the product of the sizes.
    pub fn new(shape: &[usize], data: Vec<T>) -> Result<Self, LayoutError> {
        let len = data.len();
        ArcArray::from_shape_vec(IxDyn(shape), data)
            .map(Tensor)
            .map_err(|_| LayoutError { shape: shape.to_vec(), len })
    }

    /// The size along each axis.
    pub fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The elements in row-major order.
    pub fn data(&self) -> &[T] {
        // The layout is row-major by construction, so the empty default is never taken.
        self.0.as_slice().unwrap_or_default()
    }

    /// Whether both are the same elements in memory under the same sizes.
    pub fn shares(&self, other: &Tensor<T>) -> bool {
        std::ptr::eq(self.data(), other.data()) && self.shape() == other.shape()
    }

    /// The same elements under other sizes of equal product, without copying.
    ///
    /// # Errors
    /// When the products differ.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self, LayoutError> {
        let error = || LayoutError { shape: shape.to_vec(), len: self.len() };
        self.0.clone().into_shape_with_order(IxDyn(shape)).map(Tensor).map_err(|_| error())
    }

    /// As an `ndarray` view.
    pub fn view(&self) -> ArrayViewD<'_, T> {
        self.0.view()
    }

    /// Applies `f` to each element.
    pub fn map<U>(&self, f: impl FnMut(&T) -> U) -> Tensor<U> {
        Tensor(self.0.map(f).into())
    }
}

impl<T: Clone> Tensor<T> {
    /// The elements in row-major order, copied only when another tensor shares them.
    pub fn into_data(self) -> Vec<T> {
        self.0.into_owned().into_raw_vec_and_offset().0
    }

    /// The elements in row-major order without copying.
    ///
    /// # Errors
    /// The tensor itself, when another one shares its elements.
    pub fn try_into_data(self) -> Result<Vec<T>, Self> {
        let owned = self.0.try_into_owned_nocopy().map_err(Tensor)?;
        Ok(owned.into_raw_vec_and_offset().0)
    }

    /// As an owned `ndarray` array, copied only when another tensor shares the elements.
    pub fn into_array(self) -> ArrayD<T> {
        self.0.into_owned()
    }
}

/// A number: a tensor without axes.
impl From<f32> for Tensor<f32> {
    fn from(number: f32) -> Self {
        Tensor(ndarray::arr0(number).into_dyn().into_shared())
    }
}

impl<T: Clone, S: Data<Elem = T>, D: Dimension> From<ArrayBase<S, D>> for Tensor<T> {
    fn from(array: ArrayBase<S, D>) -> Self {
        Tensor(array.into_dyn().as_standard_layout().into_owned().into_shared())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_layout_becomes_row_major() {
        let array = ndarray::arr2(&[[1, 2, 3], [4, 5, 6]]);
        let tensor = Tensor::from(array.t());
        assert_eq!(tensor.shape(), [3, 2]);
        assert_eq!(tensor.data(), [1, 4, 2, 5, 3, 6]);
        assert_eq!(Tensor::from(array.slice(ndarray::s![.., 1..])).into_data(), [2, 3, 5, 6]);
    }

    #[test]
    fn a_buffer_that_does_not_fit_is_an_error() {
        let error = Tensor::new(&[2, 3], vec![0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "5 elements do not fill a tensor of shape [2, 3]");
        assert!(Tensor::new(&[0, 3], Vec::<u8>::new()).is_ok());
        assert_eq!(
            Tensor::new(&[2, 3], vec![0; 6]).unwrap().reshape(&[3, 2]).unwrap().shape(),
            [3, 2]
        );
    }
}
