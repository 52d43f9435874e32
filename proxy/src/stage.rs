//! The stages of the pipeline as actix middleware. Each decides about a request before the next one
//! sees it, and has no part in the answer. What is decided at once, as nearly everything is, is passed
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

use crate::{record::RequestRecord, telemetry::observe::record, worker::Worker};

/// What becomes of a request.
pub enum Step {
    Pass(ServiceRequest),
    /// The stages behind do not see it.
    Answer(ServiceResponse),
    /// Somebody must be asked first: then it is passed, or answered.
    Later(LocalBoxFuture<'static, Result<ServiceRequest, ServiceResponse>>),
}

/// One stage.
pub type Decide = fn(&Rc<Worker>, &Rc<RequestRecord>, ServiceRequest) -> Step;
type Answered = Result<ServiceResponse, Error>;

/// The stages, in their order, as one middleware.
pub struct Stages {
    worker: Rc<Worker>,
    list: &'static [Decide],
}

/// The stages before what answers.
pub struct Staged<S> {
    worker: Rc<Worker>,
    list: &'static [Decide],
    next: Rc<S>,
}

impl Stages {
    pub fn new(worker: &Rc<Worker>, list: &'static [Decide]) -> Self {
        Self { worker: Rc::clone(worker), list }
    }
}

/// Runs the stages of `list` until one of them does not pass the request on.
fn run(
    worker: &Rc<Worker>,
    record: &Rc<RequestRecord>,
    list: &'static [Decide],
    mut request: ServiceRequest,
) -> Step {
    for (index, decide) in list.iter().enumerate() {
        match decide(worker, record, request) {
            Step::Pass(passed) => request = passed,
            Step::Answer(response) => return Step::Answer(response),
            Step::Later(deciding) => {
                let rest = &list[index + 1..];
                let (worker, record) = (Rc::clone(worker), Rc::clone(record));
                return Step::Later(Box::pin(async move {
                    match run(&worker, &record, rest, deciding.await?) {
                        Step::Pass(request) => Ok(request),
                        Step::Answer(response) => Err(response),
                        Step::Later(deciding) => deciding.await,
                    }
                }));
            }
        }
    }
    Step::Pass(request)
}

impl<S> Transform<S, ServiceRequest> for Stages
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
        ready(Ok(Staged { worker, list: self.list, next: Rc::new(next) }))
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
        let record = record(&request);
        match run(&self.worker, &record, self.list, request) {
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
