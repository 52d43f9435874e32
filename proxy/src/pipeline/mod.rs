//! The order of the stages, and of what is done to answers. This file alone knows it.

mod observe;
mod stage;

use std::rc::Rc;

use actix_http::{HttpMessage, Request};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory,
    boxed::{RcService, rc_service},
    fn_service, map_config,
};
use actix_web::{
    Error,
    dev::{AppConfig, ServiceRequest, ServiceResponse},
};

pub use self::{
    observe::{Observed, record},
    stage::{Decide, Finish, Passed, Passing, Step, Waiting},
};
use self::{
    observe::{OpenRecord, observe},
    stage::Stages,
};
use crate::{
    access::stage::{access, tell_origin},
    auth::stage::{authenticate, tell_client},
    downstream::Client,
    forward::forward,
    headers::stage::{
        apply_rules, keep_to_https, leave_out_what_is_said, name_request, write_fields,
    },
    rate_limit::stage::{limit_addresses, limit_clients, tell_limits},
    routing::stage::{check, own_answers, route},
    worker::Worker,
};

/// The App of one worker: what every protocol hands its requests to.
pub struct App {
    pub worker: Rc<Worker>,
    service: RcService<Request, ServiceResponse, Error>,
}

impl App {
    /// Builds the stages. An App's routes can be taken once only, so a worker has one for all of
    /// its listeners.
    pub async fn start(worker: Rc<Worker>) -> Result<Self, ()> {
        let service = rc_service(stages(&worker).new_service(()).await?);
        Ok(Self { worker, service })
    }

    /// Answers a request of `from`.
    pub fn call(
        &self,
        request: Request,
        from: Client,
    ) -> impl Future<Output = Result<ServiceResponse<Observed>, Error>> + use<> {
        let open = OpenRecord::new(&self.worker, request.head(), from);
        request.extensions_mut().insert(Rc::clone(&open.record));
        observe(open, self.service.call(request))
    }
}

/// What a request passes before it is forwarded.
const STAGES: [Decide; 8] =
    [check, own_answers, route, access, limit_addresses, authenticate, limit_clients, write_fields];

/// What is done to every answer, whichever stage has made it.
const ANSWERS: [Finish; 7] = [
    tell_limits,
    tell_client,
    apply_rules,
    tell_origin,
    name_request,
    keep_to_https,
    leave_out_what_is_said,
];

fn stages(
    worker: &Rc<Worker>,
) -> impl ServiceFactory<Request, Config = (), Response = ServiceResponse, Error = Error, InitError = ()>
+ use<> {
    let handler = Rc::clone(worker);
    let app = actix_web::App::new()
        .default_service(fn_service(move |request: ServiceRequest| {
            forward(Rc::clone(&handler), request)
        }))
        .wrap(Stages::new(worker));
    map_config(app.into_factory(), |_| AppConfig::default())
}
