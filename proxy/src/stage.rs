//! A stage of the pipeline as actix middleware: decides about a request before the stages behind it
//! see it, and has no part in the answer. What is decided at once, as nearly everything is, is passed
//! on without anything on the heap; `middleware::from_fn` would box each stage twice.

use std::{
    future::{Ready, ready},
    rc::Rc,
};

use actix_web::{
    Error,
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
};
use futures_util::future::{Either, LocalBoxFuture};

use crate::worker::Worker;

/// What becomes of a request.
pub enum Step {
    Pass(ServiceRequest),
    /// The stages behind do not see it.
    Answer(ServiceResponse),
    /// Somebody must be asked first: then it is passed, or answered.
    Later(LocalBoxFuture<'static, Result<ServiceRequest, ServiceResponse>>),
}

type Decide = fn(&Rc<Worker>, ServiceRequest) -> Step;
type Answered = Result<ServiceResponse, Error>;

pub struct Stage {
    worker: Rc<Worker>,
    decide: Decide,
}

/// A stage before the next.
pub struct Staged<S> {
    worker: Rc<Worker>,
    decide: Decide,
    next: Rc<S>,
}

impl Stage {
    pub fn new(worker: &Rc<Worker>, decide: Decide) -> Self {
        Self { worker: Rc::clone(worker), decide }
    }
}

impl<S> Transform<S, ServiceRequest> for Stage
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Transform = Staged<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, next: S) -> Self::Future {
        let worker = Rc::clone(&self.worker);
        ready(Ok(Staged { worker, decide: self.decide, next: Rc::new(next) }))
    }
}

impl<S> Service<ServiceRequest> for Staged<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Future = Either<S::Future, Either<Ready<Answered>, LocalBoxFuture<'static, Answered>>>;

    forward_ready!(next);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        match (self.decide)(&self.worker, request) {
            Step::Pass(request) => Either::Left(self.next.call(request)),
            Step::Answer(response) => Either::Right(Either::Left(ready(Ok(response)))),
            Step::Later(deciding) => {
                let next = Rc::clone(&self.next);
                Either::Right(Either::Right(Box::pin(async move {
                    match deciding.await {
                        Ok(request) => next.call(request).await,
                        Err(response) => Ok(response),
                    }
                })))
            }
        }
    }
}
